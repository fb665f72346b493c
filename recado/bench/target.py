"""The stack that is measured: one that runs already, or one of our own that is gone afterwards."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec

from plumbing.rpc import client
from protos import capture_pb2, capture_pb2_grpc
from recado.connection import Connection
from recado.sandbox import people
from recado.sandbox.commands import app_secret
from recado.stack import processes

_START_S: Final = 90.0
_STOP_S: Final = 40.0
_RPC_S: Final = 10.0
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Target(msgspec.Struct, frozen=True):
    """Where a running stack is, and what it takes to use it."""

    connection: Connection
    is_own: bool

    @property
    def _state(self) -> dict[str, Any]:
        state = self.connection.state()
        if state is None:
            raise click.ClickException("the stack that was being measured has stopped")
        return state

    @property
    def base_url(self) -> str:
        return str(self._state["base_url"])

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.base_url)
        assert parts.hostname
        return parts.hostname, parts.port or 80

    @property
    def owner_url(self) -> str:
        return str(self._state["database_urls"]["owner"])

    @property
    def pids(self) -> dict[str, int]:
        return dict(self._state.get("pids", {}))

    @property
    def app_secret(self) -> str:
        return app_secret(self.connection)

    def token(self, *, tenant: str, scopes: tuple[str, ...]) -> str:
        return self.connection.token(tenant=tenant, scopes=scopes)

    def register(self, business: people.Business, *, tenant: str) -> uuid.UUID:
        """Register a number and give the instance's id; again, it changes nothing."""
        with client.open_channel(self.connection.address("capture")) as channel:
            stub: Any = capture_pb2_grpc.CaptureServiceStub(channel)
            instance: capture_pb2.Instance = client.call(
                stub.CreateInstance,
                capture_pb2.CreateInstanceRequest(
                    waba_id=business.waba_id,
                    phone_number_id=business.phone_number_id,
                    display_phone_number=business.display_phone_number,
                    name=business.name,
                ),
                token=self.token(tenant=tenant, scopes=("instances:admin",)),
                timeout_s=_RPC_S,
            )
        return uuid.UUID(instance.id)


@contextlib.contextmanager
def find(data: Path, *, wants_own: bool) -> Generator[Target]:
    """Give the stack that runs on `data`; where none does, or none is wanted, one that ends with this."""
    connection = Connection(data)
    if not wants_own and connection.state() is not None:
        yield Target(connection, is_own=False)
        return
    folder = Path(tempfile.mkdtemp(prefix="recado-bench-"))
    try:
        with _running(folder) as own:
            yield Target(own, is_own=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(folder: Path) -> Generator[Connection]:
    command = (
        sys.executable, "-m", "recado", "up", "--no-sandbox",
        "--data", str(folder / "data"), "--port", str(processes.free_port()),
    )  # fmt: skip
    # Nothing of the operator's: a stack of its own must not reach their database or Meta.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECADO_")}
    # Nobody listens there, so that no enrichment leaves this machine.
    environment["RECADO_GRAPH_URL"] = "http://127.0.0.1:9"
    output = folder / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    connection = Connection(folder / "data", environment)
    try:
        deadline = time.monotonic() + _START_S
        while not _is_ready(connection):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = output.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise click.ClickException(f"the stack did not start:\n{tail}")
            time.sleep(0.2)
        yield connection
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(connection: Connection) -> bool:
    base_url = connection.base_url()
    if base_url is None:
        return False
    try:
        with _opener.open(f"{base_url}/readyz", timeout=2.0) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False
