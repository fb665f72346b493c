"""A storm of webhooks while the system's processes are killed: what was acknowledged is there, once."""

import hashlib
import hmac
import os
import random
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.e2e.stack import Stack
from tests.stack.marks import wait_until

pytestmark = pytest.mark.timeout(300)

SEED = 20261123
SENDERS = 8
WEBHOOKS_PER_SENDER = 150


class Sender:
    """Posts like Meta: the same body again, after a growing pause, until it is answered 200."""

    def __init__(self, url: str, secret: bytes, bodies: list[bytes]) -> None:
        self._url = url
        self._secret = secret
        self._bodies = bodies
        self.acknowledged = 0
        self.refused = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        for body in self._bodies:
            pause_s = 0.05
            while not self._is_kept(body):
                self.refused += 1
                time.sleep(pause_s)
                pause_s = min(1.0, pause_s * 2)
            self.acknowledged += 1

    def _is_kept(self, body: bytes) -> bool:
        signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(  # noqa: S310 - an address of our own
            self._url, data=body, headers={"X-Hub-Signature-256": f"sha256={signature}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def _bodies(draw: random.Random, sender: int) -> tuple[list[bytes], list[str]]:
    """Webhooks of one to three messages of eight people, and the wamids in them."""
    bodies: list[bytes] = []
    wamids: list[str] = []
    for number in range(WEBHOOKS_PER_SENDER):
        found = [f"w{sender}-{number}-{item}" for item in range(draw.randrange(1, 4))]
        bodies.append(
            wire.messages(
                *(
                    wire.text(wamid, sender=f"55119888{draw.randrange(8):05}", at=wire.NOON + number)
                    for wamid in found
                ),
                contacts=[],
            )
        )
        wamids += found
    return bodies, wamids


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_every_acknowledged_message_survives_the_death_of_every_process(
    stack_in: Callable[..., Stack],
) -> None:
    stack = stack_in("data", "--no-sandbox")
    process = stack.start_and_wait()
    registered = stack.run(
        *("instance", "add", "--tenant", "padaria", "--waba-id", wire.WABA_ID),
        *("--phone-number-id", wire.NUMBER_ID, "--display-phone-number", wire.BUSINESS),
    )
    assert registered.returncode == 0, registered.stderr
    found = re.search(
        r"^RECADO_META_APP_SECRET=(.+)$", (stack.data / "secrets.env").read_text(), re.MULTILINE
    )
    assert found
    draw = random.Random(SEED)
    url = f"http://127.0.0.1:{stack.port}/webhooks/whatsapp"
    senders: list[Sender] = []
    sent: list[str] = []
    for number in range(SENDERS):
        bodies, wamids = _bodies(draw, number)
        senders.append(Sender(url, found[1].strip("'\"").encode(), bodies))
        sent += wamids

    def acknowledged() -> int:
        return sum(sender.acknowledged for sender in senders)

    for sender in senders:
        sender.start()
    victims: list[Callable[[dict[str, int]], int]] = [
        lambda pids: pids["capture"],
        lambda pids: pids["postgres"],
        lambda pids: _child_of(pids["gateway"]),
    ]
    total = SENDERS * WEBHOOKS_PER_SENDER
    for number, victim in enumerate(victims, start=1):
        wait_until(lambda number=number: acknowledged() >= total * number // 5, timeout_s=60)
        _kill(victim(stack.state()["pids"]))
    wait_until(lambda: all(sender.is_done() for sender in senders), timeout_s=120)

    kept: list[str] = []
    counted = 0
    for lead in stack.get("/leads?limit=1000", tenant="padaria")["leads"]:
        page: dict[str, Any] = stack.get(
            f"/conversations/sync?leadId={lead['id']}&limit=1000", tenant="padaria"
        )
        kept += [message["wamid"] for message in page["messages"]]
        counted += lead["messageCount"]

    assert sum(sender.refused for sender in senders) > 0, "nobody noticed the deaths"
    assert len(kept) == len(set(kept)) == counted
    assert set(kept) == set(sent)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
