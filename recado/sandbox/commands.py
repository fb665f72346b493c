"""`recado sandbox`: signed webhooks to a running stack, by hand."""

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from plumbing import settings
from recado.connection import Connection
from recado.sandbox import registration, sender, traffic
from recado.stack import credentials

# Long enough for a stack that restarts a process, short enough for who waits at a terminal.
_PATIENCE_S: Final = 30.0

_DATA: Final = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".recado"),
    show_default=True,
    help="Folder of the stack.",
)


@click.group()
def sandbox() -> None:
    """Meta's stand-in and its traffic."""


@sandbox.command()
@_DATA
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    required=True,
    help='A webhook body, sent byte for byte; "-" reads it from standard input.',
)
def send(data: Path, path: Path) -> None:
    """Sign one webhook body and post it once; print the HTTP status."""
    body = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    with _sender(Connection(data)) as meta:
        status = meta.post(body)
    click.echo(status or "no answer")
    if status != 200:
        sys.exit(1)


@sandbox.command(name="traffic")
@_DATA
@click.option("--messages", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31),
    default=7,
    show_default=True,
    help="The same seed sends the same messages: once sent, it changes nothing.",
)
def send_traffic(data: Path, messages: int, seed: int) -> None:
    """Post conversations of people who have not written before, until all is acknowledged."""
    # The refusals are told at the end, once.
    logging.getLogger("recado.sandbox").setLevel(logging.ERROR)
    connection = Connection(data)
    patience = _Patience()
    registration.register(
        capture_address=connection.address("capture"),
        enrichment_address=connection.address("enrichment"),
        auth_secret=connection.auth_secret(),
        wait=patience,
    )
    sent = webhooks = 0
    progress = click.progressbar(length=messages, label="messages", file=sys.stderr)
    with _sender(connection, patience) as meta, progress as bar:
        for webhook in traffic.burst(seed, datetime.now(UTC), messages=messages):
            try:
                meta.deliver(webhook.body)
            except sender.Stopped as stopped:
                raise click.ClickException(
                    f"a webhook is refused again and again: {stopped.status or 'no answer'}"
                ) from None
            patience.renew()
            sent += webhook.messages
            webhooks += 1
            bar.update(webhook.messages)
    click.echo(f"{sent} messages in {webhooks} webhooks")


class _Patience:
    """Waits between attempts, and says to stop when they have taken long enough."""

    def __init__(self) -> None:
        self._left_s = _PATIENCE_S

    def __call__(self, pause_s: float) -> bool:
        self._left_s -= pause_s
        if self._left_s > 0:
            time.sleep(pause_s)
        return self._left_s <= 0

    def renew(self) -> None:
        self._left_s = _PATIENCE_S


def _sender(connection: Connection, wait: Callable[[float], bool] | None = None) -> sender.Sender:
    base_url = connection.base_url()
    if base_url is None:
        raise click.ClickException(f"no stack runs on {connection.data}: start one with `recado up`")
    return sender.Sender(base_url, app_secret(connection), wait=wait)


def app_secret(connection: Connection) -> str:
    """Give the secret that webhooks are signed with: the environment's, else the stack's."""
    name = "RECADO_META_APP_SECRET"
    with settings.read(connection.environ) as env:
        found = env.secret(name, "") or credentials.load(connection.data.absolute() / "secrets.env").get(
            name, ""
        )
    if not found:
        raise click.ClickException(f"no secret to sign with: set {name} or name the folder with --data")
    return found.split(",")[0].strip()
