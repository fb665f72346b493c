#!/usr/bin/env python3
"""Try compose.yaml for real, under a project name of its own: build, start, send, read, disturb, remove.

Opt-in, because it needs a container engine: `make compose-check`, or `python3 deploy/compose_check.py`. The
images are those of compose.yaml's variables. Whatever it makes is removed again, volumes included.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PUBLISH = os.environ.get("RECADO_PUBLISH", "127.0.0.1:18080")
BASE = f"http://{PUBLISH}"
PROCESSES = ("gateway", "capture", "enrichment", "history", "worker", "postgres", "redis")
# Never through a proxy of the environment: this is the machine itself.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Check:
    def __init__(self, made: Path) -> None:
        self._environ = {**os.environ, "RECADO_SECRETS": str(made), "RECADO_PUBLISH": PUBLISH}
        self._project = f"recado-check-{secrets.token_hex(3)}"
        self._app_secret = (made / "meta_app_secret").read_text().strip().encode()

    def compose(self, *arguments: str, is_shown: bool = False) -> str:
        done = subprocess.run(
            [*engine(), "-p", self._project, *arguments],
            cwd=ROOT,
            env=self._environ,
            text=True,
            stdout=None if is_shown else subprocess.PIPE,
            check=True,
        )
        return done.stdout or ""

    def exec(self, service: str, *command: str) -> str:
        return self.compose("exec", "-T", service, *command).strip()

    def containers(self) -> dict[str, dict[str, Any]]:
        ids = self.compose("ps", "-q").split()
        shown = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True)  # noqa: S607
        return {
            container["Config"]["Labels"]["com.docker.compose.service"]: container
            for container in json.loads(shown.stdout)
        }

    def unhealthy(self) -> list[str]:
        running = self.containers()
        return [
            name
            for name in PROCESSES
            if name not in running or running[name]["State"].get("Health", {}).get("Status") != "healthy"
        ]

    def send(self, text: str, wamid: str) -> int:
        """Post a signed webhook with one message; give the HTTP status."""
        body = json.dumps(webhook(text, wamid)).encode()
        signature = hmac.new(self._app_secret, body, hashlib.sha256).hexdigest()
        return ask("/webhooks/whatsapp", body, {"X-Hub-Signature-256": f"sha256={signature}"})[0]


def engine() -> list[str]:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return ["docker", "compose"]


def webhook(text: str, wamid: str) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "551140000000", "phone_number_id": "100000000000001"},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "5511900000001"}],
        "messages": [
            {
                "from": "5511900000001",
                "id": wamid,
                "timestamp": str(int(time.time())),
                "type": "text",
                "text": {"body": text},
            }
        ],
    }
    change = {"field": "messages", "value": value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "200000000000001", "changes": [change]}],
    }


def ask(path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Give the status and the JSON of the gateway's answer; (0, None) when there is none."""
    request = urllib.request.Request(  # noqa: S310 - always http
        BASE + path, body, {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with opener.open(request, timeout=10) as answer:
            content = answer.read()
            status = answer.status
    except urllib.error.HTTPError as refusal:
        status, content = refusal.code, refusal.read()
    except OSError:
        return 0, None
    try:
        return status, json.loads(content)
    except ValueError:
        return status, None


def read(path: str, headers: dict[str, str]) -> dict[str, Any]:
    """Give the JSON of a GET; nothing when it was refused."""
    status, found = ask(path, headers=headers)
    return found if status == 200 else {}


def wait_until(what: str, is_true: Callable[[], bool], *, timeout_s: float = 120) -> None:
    started = time.monotonic()
    while not is_true():
        if time.monotonic() - started > timeout_s:
            raise SystemExit(f"FAILED within {timeout_s:g} s: {what}")
        time.sleep(0.25)
    say(f"ok after {time.monotonic() - started:.1f} s: {what}")


def expect(what: str, is_true: bool) -> None:
    if not is_true:
        raise SystemExit(f"FAILED: {what}")
    say(f"ok: {what}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(check: Check) -> None:
    check.compose("up", "--build", "-d", is_shown=True)
    wait_until("every container is healthy", lambda: not check.unhealthy())
    published = {name for name, found in check.containers().items() if found["HostConfig"]["PortBindings"]}
    expect("only the gateway is published", published == {"gateway"})

    expect("a forged webhook is refused", ask("/webhooks/whatsapp", b"{}")[0] == 401)
    expect("a webhook of an unknown number is kept", check.send("primeira", "wamid.check1") == 200)
    check.exec(
        "capture",
        *(
            "env",
            "RECADO_CAPTURE_ADDRESS=127.0.0.1:50051",
            "recado",
            "instance",
            "add",
            "--tenant",
            "padaria",
        ),
        *("--waba-id", "200000000000001", "--phone-number-id", "100000000000001"),
        *("--display-phone-number", "+55 11 4000-0000"),
    )
    expect("a webhook is acknowledged", check.send("segunda", "wamid.check2") == 200)
    token = check.exec(
        "gateway",
        *("recado", "token", "issue", "--tenant", "padaria", "--user", "check"),
        *("--scope", "history:read history:sync"),
    )
    authorized = {"Authorization": f"Bearer {token}"}
    api = "/api/v1/whatsapp"

    def leads() -> list[dict[str, Any]]:
        return read(f"{api}/leads", authorized).get("leads", [])

    wait_until("the contact is there", lambda: len(leads()) == 1, timeout_s=30)
    lead = leads()[0]["id"]

    def bodies() -> list[str]:
        page = read(f"{api}/conversations/sync?leadId={lead}", authorized)
        return sorted(message["body"] for message in page.get("messages", []))

    wait_until("both messages are history", lambda: bodies() == ["primeira", "segunda"], timeout_s=30)

    started = ask(f"{api}/conversations/sync", json.dumps({"leadId": lead}).encode(), authorized)
    expect("a recovery is started", started[0] == 202)
    sync = f"{api}/conversations/sync/{started[1]['syncId']}"
    wait_until(
        "the worker completes it",
        lambda: read(sync, authorized).get("status") == "completed",
        timeout_s=60,
    )

    check.compose("stop", "redis")
    expect("without Redis webhooks are acknowledged", check.send("terceira", "wamid.check3") == 200)
    expect("without Redis history is read", bodies() == ["primeira", "segunda", "terceira"])
    check.compose("start", "redis")

    check.compose("stop", "postgres")
    before = time.monotonic()
    expect("without PostgreSQL a webhook is postponed", check.send("quarta", "wamid.check4") == 503)
    expect("within 2 s", time.monotonic() - before < 2)
    check.compose("start", "postgres")
    wait_until("it is acknowledged again", lambda: check.send("quarta", "wamid.check4") == 200, timeout_s=60)

    check.compose("restart", "capture", "history", "worker", "enrichment", "gateway", "redis", "postgres")
    wait_until("everything is healthy after a restart", lambda: not check.unhealthy())
    wait_until("nothing is lost or doubled", lambda: len(bodies()) == 4, timeout_s=30)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="recado-check-") as folder:
        made = Path(folder, "secrets")
        subprocess.run([ROOT / "deploy" / "make-secrets", made], check=True, stdout=subprocess.DEVNULL)
        check = Check(made)
        try:
            run(check)
            say("compose.yaml works")
        except BaseException:
            with contextlib.suppress(subprocess.CalledProcessError):
                check.compose("ps", is_shown=True)
                check.compose("logs", "--tail=20", is_shown=True)
            raise
        finally:
            check.compose("down", "--volumes", "--timeout", "20", is_shown=True)


if __name__ == "__main__":
    main()
