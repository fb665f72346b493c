"""What needs a worker, through a running stack: a large history, a merge, an exported chat."""

import hashlib
import hmac
import json
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recado.stack import credentials
from tests import wire
from tests.e2e.stack import Stack
from tests.stack.marks import Marked, wait_until

COUNT = 5_000
CHAT = """\
12/09/2026 09:15 - Ana: Bom dia! Tem pão de queijo?
12/09/2026 09:16 - Padaria Aurora: Tem sim
"""


def post(stack: Stack, body: bytes) -> None:
    secret = credentials.load(stack.data / "secrets.env")["RECADO_META_APP_SECRET"]
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/webhooks/whatsapp",
        data=body,
        headers={"X-Hub-Signature-256": f"sha256={signature}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
        assert answer.status == 200


def large_history() -> bytes:
    threads = [
        {
            "id": f"55219{contact:08}",
            "messages": [
                {
                    "from": f"55219{contact:08}",
                    "id": f"wamid.{contact}.{number}",
                    "timestamp": str(wire.NOON - number),
                    "type": "text",
                    "text": {"body": "uma mensagem de antes da conexão, " * 10},
                    "history_context": {"status": "read"},
                }
                for number in range(COUNT // 50)
            ],
        }
        for contact in range(50)
    ]
    chunk = {"metadata": {"phase": 2, "chunk_order": 1, "progress": 100}, "threads": threads}
    return wire.webhook(wire.entry(wire.change("history", history=[chunk])))


@pytest.mark.timeout(300)
def test_what_needs_a_worker_is_done(stack_in: Callable[..., Stack], marked: Marked, tmp_path: Path) -> None:
    stack = stack_in("data", "--no-sandbox")
    process = stack.start_and_wait()
    added = stack.run(
        *("instance", "add", "--tenant", "padaria", "--waba-id", wire.WABA_ID),
        *("--phone-number-id", wire.NUMBER_ID, "--display-phone-number", wire.BUSINESS),
    )
    assert added.returncode == 0, added.stderr

    def leads() -> list[dict[str, Any]]:
        return stack.get("/leads?limit=1000", tenant="padaria")["leads"]

    body = large_history()
    assert len(body) > 2_000_000
    post(stack, body)
    post(stack, wire.messages(wire.text("w1"), contacts=[]))
    post(stack, wire.messages(wire.text("w2", sender=None, from_user_id="BR.1"), contacts=[]))
    post(stack, wire.messages(wire.text("w3", from_user_id="BR.1"), contacts=[]))
    wait_until(lambda: sum(lead["messageCount"] for lead in leads()) == COUNT + 3, timeout_s=60)
    wait_until(lambda: len(leads()) == 51, timeout_s=30)
    [ana] = [lead for lead in leads() if lead["userId"] == "BR.1"]
    assert ana["messageCount"] == 3
    [instance] = stack.get("/instances", tenant="padaria")["instances"]
    assert (instance["history"]["status"], instance["history"]["messagesImported"]) == ("completed", COUNT)

    chat = tmp_path / "Conversa do WhatsApp com Ana.txt"
    chat.write_text(CHAT, "utf-8")
    how = ("--business", "Padaria Aurora", "--time-zone", "America/Sao_Paulo")
    command = ("import-chat", str(chat), "--tenant", "padaria", "--lead", ana["id"], *how)
    dry = stack.run(*command, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "2 messages would be imported, 0 were there already" in dry.stdout
    done = stack.run(*command)
    again = stack.run(*command)
    wrong = stack.run(*command[:-3], "Ninguém", *command[-2:])
    assert "2 messages imported, 0 were there already" in done.stdout, done.stderr
    assert "0 messages imported, 2 were there already" in again.stdout, again.stderr
    assert wrong.returncode == 1
    assert "Padaria Aurora" in wrong.stderr
    replayed = stack.run("replay", "--state", "all", "--tenant", "padaria", "--number", wire.NUMBER_ID)
    unknown = stack.run("replay", "--number", "1" + wire.NUMBER_ID)
    outdated = stack.run("replay", "--outdated")
    older = stack.run("replay", "--parser-version-below", "1000")
    assert "4 webhooks replayed, 0 messages imported, 0 failed" in replayed.stdout, replayed.stderr
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "phone_number_id" in unknown.stderr
    assert outdated.stdout == "0 webhooks replayed, 0 messages imported, 0 failed\n", outdated.stderr
    # What an upgrade concerns was applied: without --state it is all.
    assert "4 webhooks replayed, 0 messages imported, 0 failed" in older.stdout, older.stderr
    page = stack.get(f"/conversations/sync?leadId={ana['id']}", tenant="padaria")
    assert page["pagination"]["total"] == 5
    assert json.dumps(page, ensure_ascii=False).count("pão de queijo") == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
