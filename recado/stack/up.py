"""`recado up`: the whole system from one data folder, until it is told to stop."""

import errno
import json
import os
import shlex
import shutil
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape

from plumbing import tokens
from recado.stack.folder import Folder
from recado.stack.plan import Plan
from recado.stack.processes import StackError, why_not_free
from recado.stack.supervisor import Supervisor

SANDBOX_TENANT: Final = "sandbox"
TOKEN_TTL_S: Final = 24 * 3600
_SCOPES: Final = ("history:read", "history:sync", "leads:write", "instances:admin", "audit:read")
_FIRST_TRAFFIC_TIMEOUT_S: Final = 60.0
_API: Final = "/api/v1/whatsapp"
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    data: Path
    host: str
    port: int
    has_sandbox: bool


class _Reporter:
    """Tells people what happens: coloured on a terminal, plain lines elsewhere, at once in both."""

    def __init__(self) -> None:
        # soft_wrap: a line that is to be copied must not be broken.
        self._console = Console(highlight=False, soft_wrap=True)

    def tell(self, name: str, what: str) -> None:
        is_good = what.startswith("ready")
        mark = ("[green]✓[/]" if is_good else "[yellow]![/]") if self._console.is_terminal else ""
        prefix = f"{mark} [bold]{escape(name):<11}[/]" if mark else f"{escape(name)}:"
        self._say(f"{prefix} {escape(what)}")

    def heading(self, text: str) -> None:
        self._say(f"[bold]{escape(text)}[/]")

    def line(self, text: str = "") -> None:
        self._say(escape(text))

    def _say(self, markup: str) -> None:
        self._console.print(markup)
        sys.stdout.flush()


def run(options: Options) -> None:
    """Start everything, say where it is, and return when a signal has stopped everything.

    Raises StackError when something fails to start.
    """
    folder = Folder(options.data.absolute())
    reporter = _Reporter()
    lock = folder.lock()
    try:
        obstacle = why_not_free(options.host, options.port)
        if obstacle is not None and obstacle.errno == errno.EADDRINUSE:
            raise StackError(
                f"port {options.port} of {options.host} is taken by another program: "
                "choose another with --port N"
            )
        if obstacle is not None:
            raise StackError(f"cannot listen on {options.host}, port {options.port}: {obstacle.strerror}")
        plan = Plan(folder, os.environ, host=options.host, port=options.port, has_sandbox=options.has_sandbox)

        def publish(pids: dict[str, int]) -> None:
            folder.write_state(plan.state(pids))

        supervisor = Supervisor(
            log_of=folder.log, tell=reporter.tell, when_changed=publish, inherited=(lock,)
        )

        def when_ready() -> None:
            lead_id = _wait_for_lead(plan, supervisor) if options.has_sandbox else None
            _introduce(reporter, plan, folder, lead_id)

        try:
            supervisor.run(plan.items(), when_ready)
        finally:
            folder.state.unlink(missing_ok=True)
        reporter.line("Stopped.")
    finally:
        os.close(lock)


def _introduce(reporter: _Reporter, plan: Plan, folder: Folder, lead_id: str | None) -> None:
    recado = _command()
    data = f" --data {shlex.quote(str(folder.path))}" if folder.path != Path(".recado").absolute() else ""
    reporter.line()
    reporter.heading(f"Recado runs at {plan.base_url}")
    reporter.line(f"Data and logs: {folder.path}   Stop: Ctrl-C")
    reporter.line()
    if lead_id is None:
        reporter.line("To register a number, and to make a token to read with:")
        reporter.line(
            f"  {recado} instance add{data} --tenant acme --waba-id ID --phone-number-id ID "
            '--display-phone-number "+55 11 4000-0000"'
        )
        reporter.line(
            f'  {recado} token issue{data} --tenant acme --user me --scope "history:read history:sync"'
        )
        reporter.line(f"Meta posts its webhooks to {plan.base_url}/webhooks/whatsapp")
        return
    token = _token(plan)
    reporter.line(f"The inbox is at {plan.base_url}/, the API at {plan.base_url}/docs.")
    reporter.line(f"A token to sign in with, good for {TOKEN_TTL_S // 3600} hours:")
    reporter.line(token)
    reporter.line()
    reporter.line("The history of a sandbox lead:")
    reporter.line(
        f'curl -H "Authorization: Bearer {token}" '
        f'"{plan.base_url}{_API}/conversations/sync?leadId={quote(lead_id)}"'
    )


def _command() -> str:
    """Give this command as it can be typed here."""
    called = Path(sys.argv[0])
    if called.name != "recado":
        return "python -m recado"
    return "recado" if shutil.which("recado") else shlex.quote(os.path.relpath(called))


def _wait_for_lead(plan: Plan, supervisor: Supervisor) -> str:
    """Give the id of a lead with messages, as soon as the sandbox's traffic has made one."""
    deadline = time.monotonic() + _FIRST_TRAFFIC_TIMEOUT_S
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{plan.base_url}{_API}/leads?limit=20", headers={"Authorization": f"Bearer {_token(plan)}"}
    )
    problem = "no lead has appeared"
    while time.monotonic() < deadline:
        supervisor.check()
        try:
            with _opener.open(request, timeout=5.0) as response:
                answer = cast("dict[str, Any]", json.load(response))
        except (OSError, urllib.error.URLError) as error:
            problem = f"GET /leads: {error}"
        else:
            leads = [lead for lead in answer["leads"] if lead["messageCount"]]
            if leads:
                return str(max(leads, key=lambda lead: lead["messageCount"])["id"])
        time.sleep(0.2)
    raise StackError(
        f"the sandbox's traffic did not arrive within {_FIRST_TRAFFIC_TIMEOUT_S:g} s ({problem}); "
        f"see {plan.logs}"
    )


def _token(plan: Plan) -> str:
    return tokens.issue(
        plan.auth_secret, subject="sandbox-user", tenant=SANDBOX_TENANT, scopes=_SCOPES, ttl_s=TOKEN_TTL_S
    )
