"""Check everything a running Recado needs, and say what to do about what is wrong."""

import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plumbing import migrations, queues, settings, tokens
from plumbing.rpc import health
from recado.connection import Connection
from recado.stack import store
from recado.stack.plan import MIGRATED_PACKAGES, SERVICES
from recado.stack.processes import StackError

_TIMEOUT_S: Final = 3.0


class _Wrong(Exception):
    """A finding; the text says what to do."""


class _Doubtful(Exception):
    """A finding that may be meant so; the text says what it costs. It does not make the doctor fail."""


def run(connection: Connection) -> bool:
    """Print a table of findings and tell whether all is well."""
    checks: list[tuple[str, Callable[[Connection], str]]] = [
        ("auth secret", _check_auth_secret),
        ("identity provider", _check_provider),
        ("postgres", _check_postgres),
        ("schema", _check_schema),
        ("redis", _check_redis),
        *((name, _service_check(name)) for name in SERVICES),
        ("gateway", _check_gateway),
    ]
    table = Table("check", "", "finding")
    is_well = True
    for name, check in checks:
        try:
            finding, mark = check(connection), "[green]ok[/]"
        except _Doubtful as doubtful:
            finding, mark = str(doubtful), "[yellow]warning[/]"
        except (_Wrong, StackError) as wrong:
            finding, mark, is_well = str(wrong), "[red]wrong[/]", False
        except click.ClickException as wrong:
            finding, mark, is_well = wrong.message, "[red]wrong[/]", False
        table.add_row(name, mark, escape(finding))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return is_well


def _check_auth_secret(connection: Connection) -> str:
    try:
        tokens.Verifier(connection.auth_secret())
    except ValueError as error:
        raise _Wrong(str(error)) from None
    return "long enough"


def _check_provider(connection: Connection) -> str:
    try:
        with settings.read(connection.environ) as env:
            jwks_url = env.parsed("RECADO_AUTH_JWKS_URL", "", tokens.check_jwks_url)
            issuer = tokens.read_expected(env, "RECADO_AUTH_ISSUER")
            audience = tokens.read_expected(env, "RECADO_AUTH_AUDIENCE")
    except settings.SettingsError as error:
        raise _Wrong("; ".join(error.faults)) from None
    if not jwks_url:
        return "none: RECADO_AUTH_JWKS_URL is not set here"
    doubts: list[str] = []
    if not issuer:
        doubts.append("set RECADO_AUTH_ISSUER: now a token counts whoever issued it with these keys")
    if not audience:
        doubts.append("set RECADO_AUTH_AUDIENCE: now tokens made for other applications count here too")
    if doubts:
        raise _Doubtful("; ".join(doubts))
    return "its tokens are checked for their issuer and their audience"


def _database_url(connection: Connection) -> str:
    url = connection.database_url()
    if url is None:
        raise _Wrong("unknown: set RECADO_DATABASE_URL, or --data to the folder of a running stack")
    return url


def _check_postgres(connection: Connection) -> str:
    return f"answers, version {store.server_version(_database_url(connection))}"


def _check_schema(connection: Connection) -> str:
    applied = store.applied_versions(_database_url(connection))
    for package in MIGRATED_PACKAGES:
        newest = migrations.load(package)[-1].version
        if applied.get(package, 0) < newest:
            raise _Wrong(
                f"{package} is at {applied.get(package, 0)}, the code wants {newest}: recado migrate"
            )
    return ", ".join(f"{package} {applied[package]}" for package in MIGRATED_PACKAGES)


def _check_redis(connection: Connection) -> str:
    url = connection.redis_url()
    if url is None:
        raise _Wrong("unknown: set RECADO_REDIS_URL, or --data to the folder of a running stack")
    if not queues.ping(url):
        raise _Wrong("does not answer: ingest and history go on, jobs and live updates wait")
    return "answers"


def _service_check(name: str) -> Callable[[Connection], str]:
    def check(connection: Connection) -> str:
        address = connection.address(name)
        if not health.is_serving(address, timeout_s=_TIMEOUT_S):
            raise _Wrong(f"{address} does not serve")
        return f"{address} serves"

    return check


def _check_gateway(connection: Connection) -> str:
    base_url = connection.base_url()
    if base_url is None:
        return "not part of a stack in --data: ask its /readyz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"{base_url}/readyz", timeout=_TIMEOUT_S).close()
    except (OSError, urllib.error.URLError) as error:
        raise _Wrong(f"{base_url}/readyz: {error}") from None
    return f"{base_url} is ready"
