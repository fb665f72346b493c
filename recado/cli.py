"""The command `recado`: every subcommand, its options and what it prints.

Nothing heavy is imported before it is known which command runs: `recado serve gateway` must load gevent
before anything opens a socket, and a missing optional part must not break the other commands.
"""

import contextlib
import importlib
import importlib.util
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import click

_SERVICES: Final = {
    "gateway": "gateway.__main__",
    "capture": "capture_service.__main__",
    "enrichment": "enrichment_service.__main__",
    "history": "history_service.__main__",
    "worker": "recado.worker",
}
# Groups that live elsewhere: name -> module with a click group of that name.
_GROUPS: Final = {"bench": "recado.bench.commands", "sandbox": "recado.sandbox.commands"}
_SCOPES: Final = (
    "history:read",
    "history:sync",
    "leads:write",
    "leads:erase",
    "instances:admin",
    "messages:send",
    "audit:read",
    "service",
)
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TTL_MAX_S: Final = 366 * 86400


class _Root(click.Group):
    """A group that loads some of its commands only when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        present = [name for name, module in _GROUPS.items() if _exists(module)]
        return sorted([*super().list_commands(ctx), *present])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _GROUPS and _exists(_GROUPS[cmd_name]):
            return cast("click.Command", getattr(importlib.import_module(_GROUPS[cmd_name]), cmd_name))
        return super().get_command(ctx, cmd_name)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


class _Ttl(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        matched = re.fullmatch(r"(\d{1,9})([smhd])", str(value))
        seconds = int(matched[1]) * _UNITS_S[matched[2]] if matched else 0
        if not 0 < seconds <= _TTL_MAX_S:
            self.fail("must be like 30m, 12h or 7d, at most 366d", param, ctx)
        return float(seconds)


class _Moment(click.ParamType[datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail("must be like 2026-11-23 or 2026-11-23T10:00:00Z", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Instances(click.ParamType[tuple[str, ...]]):
    name = "instances"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        try:
            ids = tuple(str(uuid.UUID(part)) for part in re.split(r"[\s,]+", str(value)) if part)
        except ValueError:
            ids = ()
        if not ids:
            self.fail("must be the ids that `recado instance add` printed", param, ctx)
        return ids


class _Scopes(click.ParamType[tuple[str, ...]]):
    name = "scopes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        scopes = tuple(re.split(r"[\s,]+", str(value).strip()))
        for scope in scopes:
            if scope not in _SCOPES:
                self.fail(f"{scope!r} is none of {', '.join(_SCOPES)}", param, ctx)
        return scopes


data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".recado"),
    show_default=True,
    help="Folder of the embedded stack. Addresses and secrets set in the environment win over it.",
)


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="recado")
def root() -> None:
    """Capture every WhatsApp conversation of a business and serve its complete history."""


@root.command()
@data_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    envvar="RECADO_PORT",
    help="HTTP port of the gateway; 0 takes a free one.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, envvar="RECADO_HOST", help="Where it listens."
)
@click.option("--sandbox/--no-sandbox", default=True, help="Post sample traffic, or start empty.")
def up(data: Path, port: int, host: str, sandbox: bool) -> None:
    """Run the whole system on this machine: PostgreSQL, Valkey, the services, sample traffic.

    Secrets are made once and kept, with all data, in --data. Stop it with Ctrl-C; starting again finds
    everything as it was.
    """
    from recado.stack import processes, up as stack

    stack.run(stack.Options(data=data, host=host, port=port or processes.free_port(), has_sandbox=sandbox))


@root.command()
@click.argument("service", type=click.Choice(list(_SERVICES)))
def serve(service: str) -> None:
    """Run one process, configured by its environment, until SIGTERM."""
    importlib.import_module(_SERVICES[service]).main()


@root.command()
@data_option
def migrate(data: Path) -> None:
    """Bring the schema of RECADO_DATABASE_URL up to date, as its owner; say what was applied.

    Makes the services' logins, too, where RECADO_CAPTURE_DATABASE_URL, RECADO_ENRICHMENT_DATABASE_URL and
    RECADO_HISTORY_DATABASE_URL say with which URL each will come.
    """
    from recado import logins
    from recado.connection import Connection
    from recado.stack import store
    from recado.stack.plan import MIGRATED_PACKAGES

    url = Connection(data).database_url()
    if url is None:
        raise click.ClickException("set RECADO_DATABASE_URL, or --data to the folder of a running stack")
    applied = store.migrate(url, MIGRATED_PACKAGES)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply: the schema is up to date")
    for login in logins.ensure(url, os.environ):
        click.echo(f"login {login} is ready")


@root.group()
def token() -> None:
    """Tokens for people and programs."""


@token.command("issue")
@data_option
@click.option("--tenant", required=True, help="Whose data it opens.")
@click.option("--user", required=True, help="Who it speaks for; appears in the audit log.")
@click.option(
    "--scope", "scopes", type=_Scopes(), required=True, help=f"Separated by spaces: {', '.join(_SCOPES)}."
)
@click.option(
    "--instances",
    type=_Instances(),
    help="Only these instance ids, separated by commas. Default: all of the tenant.",
)
@click.option("--ttl", type=_Ttl(), default="12h", show_default=True, help="How long it is good for.")
def issue_token(
    data: Path, tenant: str, user: str, scopes: tuple[str, ...], instances: tuple[str, ...] | None, ttl: float
) -> None:
    """Print a token, and nothing else."""
    from plumbing import tokens
    from recado.connection import Connection

    click.echo(
        tokens.issue(
            Connection(data).auth_secret(),
            subject=user,
            tenant=tenant,
            scopes=scopes,
            instances=instances,
            ttl_s=ttl,
        )
    )


@root.group()
def instance() -> None:
    """Connected numbers."""


@instance.command("add")
@data_option
@click.option("--tenant", required=True, help="The business that owns the number.")
@click.option("--waba-id", required=True, help="Id of the WhatsApp Business Account.")
@click.option("--phone-number-id", required=True, help="Id of the number, from Meta.")
@click.option("--display-phone-number", required=True, help="The number as people write it.")
@click.option("--name", default="", help="What the business calls this number.")
@click.option(
    "--access-token-file",
    type=click.File("r", encoding="utf-8"),
    help="Graph API access token to keep, sealed; - reads it from standard input.",
)
def add_instance(
    data: Path,
    tenant: str,
    waba_id: str,
    phone_number_id: str,
    display_phone_number: str,
    name: str,
    access_token_file: Any,
) -> None:
    """Register a number and print the instance id, and nothing else.

    Webhooks that came for it earlier are applied by themselves. Repeating the command is harmless.
    """
    from recado import instances
    from recado.connection import Connection

    access_token = access_token_file.read().strip() if access_token_file else None
    click.echo(
        instances.add(
            Connection(data),
            tenant=tenant,
            waba_id=waba_id,
            phone_number_id=phone_number_id,
            display_phone_number=display_phone_number,
            name=name,
            access_token=access_token,
        )
    )


@root.command()
@data_option
@click.option(
    "--state",
    "states",
    help="Which kept webhooks, separated by commas: failed, unrouted, processed, ignored, or all. "
    "Default: failed,unrouted; all with --outdated or --parser-version-below.",
)
@click.option("--tenant", help="Only this tenant's. Default: everybody's.")
@click.option(
    "--number", help="Only those of this number (Meta's phone number id), and of its account as a whole."
)
@click.option(
    "--outdated", "is_outdated", is_flag=True, help="Only those that an older version of Recado read last."
)
@click.option(
    "--parser-version-below",
    type=click.IntRange(min=1),
    help="Only those read last by a parser before this version, as GET /batches/{id} names it.",
)
@click.option("--from", "from_time", type=_Moment(), help="Only those received from then on.")
@click.option("--to", "to_time", type=_Moment(), help="Only those received before then.")
@click.option("--list", "is_list", is_flag=True, help="Show what failed and why; apply nothing.")
def replay(
    data: Path,
    states: str | None,
    tenant: str | None,
    number: str | None,
    is_outdated: bool,
    parser_version_below: int | None,
    from_time: datetime | None,
    to_time: datetime | None,
    is_list: bool,
) -> None:
    """Apply kept webhooks again, such as after an upgrade that understands more. Safe to repeat."""
    from recado import replay as replaying
    from recado.connection import Connection

    if is_list:
        replaying.show_failures(Connection(data), tenant=tenant)
        return
    for option, told in (("--state", states), ("--tenant", tenant), ("--number", number)):
        if told is not None and not told.strip(", \t\n\r"):
            # As of a variable that is not set: it would be taken for everything.
            raise click.BadParameter("must not be empty", param_hint=option)
    if from_time and to_time and from_time >= to_time:
        raise click.BadParameter("must be after --from", param_hint="--to")
    # What an upgrade concerns was applied, if not all of it understood.
    usual = "all" if is_outdated or parser_version_below else "failed,unrouted"
    names = [part for part in re.split(r"[\s,]+", usual if states is None else states) if part]
    for name in names:
        if name not in (*replaying.STATES, "all"):
            raise click.BadParameter(
                f"{name!r} is none of {', '.join(replaying.STATES)}, all", param_hint="--state"
            )
    if "all" in names:
        names = list(replaying.STATES)
    is_whole = replaying.run(
        Connection(data),
        states=names,
        tenant=tenant or "",
        number=number or "",
        is_outdated=is_outdated,
        parser_version_below=parser_version_below,
        from_time=from_time,
        to_time=to_time,
    )
    if not is_whole:
        sys.exit(1)


@root.command("import-chat")
@data_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", required=True, help="The business.")
@click.option("--lead", "lead_id", required=True, help="Id of the lead whose chat it is.")
@click.option("--business", required=True, help="Who of the chat is the business, as the file writes it.")
@click.option("--time-zone", required=True, help="Of the telephone, such as America/Sao_Paulo.")
@click.option("--instance", "instance_id", default="", help="Id of the number, if the lead talks to several.")
@click.option(
    "--date-order",
    type=click.Choice(["dmy", "mdy", "ymd"]),
    help="Order of day, month and year. Default: what the whole file says.",
)
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Report what would happen; change nothing.")
def import_chat(
    data: Path,
    file: Path,
    tenant: str,
    lead_id: str,
    business: str,
    time_zone: str,
    instance_id: str,
    date_order: str | None,
    is_dry_run: bool,
) -> None:
    """Import a chat that WhatsApp exported (.txt or .zip) into a lead's history. Safe to repeat."""
    from recado import import_chat as importing
    from recado.connection import Connection

    is_done = importing.run(
        Connection(data),
        file,
        tenant=tenant,
        lead_id=lead_id,
        instance_id=instance_id,
        business=business,
        time_zone=time_zone,
        date_order=date_order or "",
        is_dry_run=is_dry_run,
    )
    if not is_done:
        sys.exit(1)


@root.command()
@data_option
def doctor(data: Path) -> None:
    """Check settings, PostgreSQL, Redis and every service; exit code 1 when something is wrong."""
    from recado import doctor as examination
    from recado.connection import Connection

    if not examination.run(Connection(data)):
        sys.exit(1)


def main() -> None:
    """Run the command; every failure is one line on standard error and a non-zero exit code."""
    try:
        # Returns what the command returned, or the exit code of --help and the like.
        code = root.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as nothing_named:
        nothing_named.show()
        code = nothing_named.exit_code
    except click.ClickException as failure:
        click.echo(f"Error: {failure.format_message()}", err=True)
        code = failure.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        # The reader of our output left. Python would complain once more while it shuts down.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as failure:
        if not _is_expected(failure):
            raise
        click.echo(f"Error: {failure}", err=True)
        for name, reason in _faults(failure):
            click.echo(f"  {name}: {reason}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _faults(failure: Exception) -> list[tuple[str, str]]:
    """List the fields that a service refused, and why."""
    from plumbing import errors

    fields = failure.fields if isinstance(failure, errors.RecadoError) else ()
    return [(fault.name, fault.reason) for fault in fields]


def _is_expected(failure: Exception) -> bool:
    """Tell whether it is one of those that are for the operator, not bugs."""
    import grpc

    from plumbing import errors, migrations, settings
    from recado.stack.processes import StackError

    expected = (
        errors.RecadoError,
        migrations.MigrationError,
        migrations.SchemaTooOld,
        settings.SettingsError,
        StackError,
        grpc.RpcError,
        OSError,
    )
    # A secret too short for signing is the one ValueError that an operator causes.
    return isinstance(failure, expected) or (type(failure) is ValueError and "secret" in str(failure))
