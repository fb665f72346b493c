"""The histories of many leads as one file: asked for, made by the job, fetched by whom asked."""

import io
import json
import os
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plumbing import tokens
from plumbing.rpc import client
from protos import capture_pb2_grpc, history_pb2, history_pb2_grpc
from protos.exports import KEPT
from recado import exporting
from tests import wire
from tests.gateway.conftest import System

OTHER = "5511900001111"


@pytest.fixture
def leads(system: System, owner: str) -> dict[str, str]:
    """The ids of two leads by name; the second is known through another number."""
    system.register(owner)
    system.register(owner, number_id="999", display_number="551140000099")
    system.post_webhook(wire.messages(wire.text("a1", "oi"), wire.text("a2", "tudo bem?", at=wire.NOON + 1)))
    other = wire.change(
        messages=[wire.text("b1", "ol\u00e1", sender=OTHER)],
        contacts=[wire.contact(OTHER, "Bia / ../../x")],
        number_id="999",
    )
    system.post_webhook(wire.webhook(wire.entry(other)))
    return {lead["name"]: lead["id"] for lead in system.leads(owner)}


@pytest.fixture
def work(system: System, auth_secret: str, tmp_path: Path) -> Any:
    """Do the worker's part for one export."""
    own = tokens.OwnToken(auth_secret, subject="worker")
    with (
        client.open_channel(system.capture.address) as capture,
        client.open_channel(system.history_address) as history,
    ):
        yield exporting.Exporter(
            capture_pb2_grpc.CaptureServiceStub(capture),
            history_pb2_grpc.HistoryServiceStub(history),
            own,
            auth_secret=auth_secret,
            folder=tmp_path,
        ).run


def fetch(system: System, token: str, export_id: str) -> zipfile.ZipFile:
    answer = system.get(f"/exports/{export_id}/file", token)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "application/zip"
    content = io.BytesIO(answer.data)
    answer.close()
    return zipfile.ZipFile(content)


def test_all_leads_are_one_file_each(system: System, owner: str, leads: dict[str, str], work: Any):
    begun = system.post("/exports", owner, {"format": "jsonl"})
    assert begun.status_code == 202
    export_id = begun.json["exportId"]
    assert begun.headers["Location"].endswith(f"/exports/{export_id}")
    assert system.get(f"/exports/{export_id}/file", owner).status_code == 422

    work("padaria", export_id)
    work("padaria", export_id)

    done = system.get(f"/exports/{export_id}", owner).json
    assert (done["status"], done["percent"]) == ("completed", 100)
    assert (done["leadsDone"], done["leadsTotal"]) == (2, 2)
    archive = fetch(system, owner, export_id)
    assert sorted(archive.namelist()) == ["00001-Ana-Souza.jsonl", "00002-Bia-..-..-x.jsonl"]
    lines = archive.read("00001-Ana-Souza.jsonl").splitlines()
    assert [json.loads(line)["body"] for line in lines] == ["oi", "tudo bem?"]
    assert done["fileBytes"] > 0
    assert system.execute("SELECT count(*) FROM outbox WHERE job = 'export_leads'").fetchone() == (0,)


@pytest.mark.parametrize("file_format", ["csv", "html", "txt"])
def test_some_leads_in_any_format(
    system: System, owner: str, leads: dict[str, str], work: Any, file_format: str
):
    body = {
        "format": file_format,
        "leadIds": [leads["Ana Souza"]],
        "lang": "pt-BR",
        "timeZone": "America/Sao_Paulo",
        "fromDate": "2026-09-21T14:13:21Z",
        "toDate": "2026-12-31",
    }
    export_id = system.post("/exports", owner, body).json["exportId"]

    work("padaria", export_id)

    archive = fetch(system, owner, export_id)
    [name] = archive.namelist()
    text = archive.read(name).decode("utf-8-sig")
    assert "tudo bem?" in text
    assert ">oi<" not in text
    # As a spreadsheet set to Portuguese parts it.
    assert (";" in text.splitlines()[0]) == (file_format == "csv")


def test_an_export_holds_what_the_token_opens_and_is_for_its_owner(
    system: System, owner: str, leads: dict[str, str], work: Any, token_for: Callable[..., str]
):
    instances = system.get("/instances", owner).json["instances"]
    [first] = [row["id"] for row in instances if row["phoneNumberId"] != "999"]
    limited = token_for("padaria", subject="limited", instances=[first], scopes=["history:read"])
    assert system.post("/exports", limited, {"leadIds": list(leads.values())}).status_code == 404
    export_id = system.post("/exports", limited, {}).json["exportId"]

    work("padaria", export_id)

    assert fetch(system, limited, export_id).namelist() == ["00001-Ana-Souza.jsonl"]
    assert system.get(f"/exports/{export_id}/file", owner).status_code == 404
    entries = [row for row in system.get("/audit", owner).json["entries"] if "export" in row["action"]]
    assert {row["subject"] for row in entries} == {"limited"}
    assert [row["action"] for row in entries] == ["export.download", "messages.export", "export.create"]
    # Whoever has lost the instance since, or is given another.
    elsewhere = token_for("padaria", subject="limited", instances=[owner], scopes=["history:read"])
    assert system.get(f"/exports/{export_id}/file", elsewhere).status_code == 404
    assert system.get(f"/exports/{export_id}", elsewhere).status_code == 404


def test_what_is_wrong_with_an_export_is_named(system: System, owner: str, leads: dict[str, str]):
    wrong = {"format": "pdf", "lang": "fr", "leadIds": ["7"], "timeZone": "x" * 65, "instanceId": 7}
    for name, value in wrong.items():
        answer = system.post("/exports", owner, {name: value})
        assert answer.status_code == 400, (name, answer.text)
        assert answer.json["errors"][0]["field"].startswith(name)
    answer = system.post("/exports", owner, {"timeZone": "Mars/Olympus"})
    assert answer.json["errors"][0]["field"] == "timeZone"


def test_without_a_folder_it_says_so(system: System, owner: str, leads: dict[str, str]):
    gateway = system.another(exports_folder=None)
    headers = {"Authorization": f"Bearer {owner}"}

    answer = gateway.post("/api/v1/whatsapp/exports", json={}, headers=headers)

    assert answer.status_code == 422
    assert "RECADO_EXPORTS_DIR" in answer.json["detail"]


def test_files_are_kept_for_a_day(
    system: System, owner: str, leads: dict[str, str], work: Any, tmp_path: Path
):
    first, second = (system.post("/exports", owner, {}).json["exportId"] for _ in range(2))
    for export_id in (first, second):
        work("padaria", export_id)
    system.execute(
        f"UPDATE exports SET completed_at = completed_at - interval '24 hours' WHERE id = '{first}'"
    )
    assert system.get(f"/exports/{first}/file", owner).status_code == 404
    old = time.time() - KEPT.total_seconds() - 60
    os.utime(tmp_path / f"{first}.zip", (old, old))

    exporting.forget_old(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [f"{second}.zip"]


def test_who_writes_while_the_leads_are_listed_is_in_it(
    system: System, owner: str, leads: dict[str, str], work: Any, monkeypatch: pytest.MonkeyPatch
):
    third = wire.text("c1", "por último", sender="5511900002222", at=wire.NOON - 500)
    system.post_webhook(wire.messages(third, contacts=[wire.contact("5511900002222", "Caio")]))
    export_id = system.post("/exports", owner, {}).json["exportId"]
    monkeypatch.setattr(exporting, "_PAGE", 1)
    call = exporting.client.call
    pages = 0

    def list_and_write(method: Any, request: Any, **how: Any) -> Any:
        nonlocal pages
        answer = call(method, request, **how)
        if isinstance(request, history_pb2.ListLeadsRequest):
            pages += 1
            if pages == 1:
                later = wire.text("c2", "de volta", sender="5511900002222", at=wire.NOON + 900)
                system.post_webhook(wire.messages(later))
        return answer

    monkeypatch.setattr(exporting.client, "call", list_and_write)

    work("padaria", export_id)

    assert len(fetch(system, owner, export_id).namelist()) == 3
    assert system.get(f"/exports/{export_id}", owner).json["leadsTotal"] == 3


def test_a_lead_that_is_gone_is_left_out_and_named(
    system: System, owner: str, leads: dict[str, str], work: Any
):
    body = {"leadIds": list(leads.values()), "lang": "pt-BR"}
    export_id = system.post("/exports", owner, body).json["exportId"]
    gone = leads["Ana Souza"]
    system.execute(f"DELETE FROM leads WHERE id = '{gone}'")

    work("padaria", export_id)

    archive = fetch(system, owner, export_id)
    assert sorted(name.partition("-")[2] for name in archive.namelist()) == [
        "Bia-..-..-x.jsonl",
        "da-exportacao.txt",
    ]
    assert gone in archive.read("fora-da-exportacao.txt").decode()


def test_what_cannot_be_written_ends_the_export_and_leaves_nothing(
    system: System,
    owner: str,
    leads: dict[str, str],
    work: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    export_id = system.post("/exports", owner, {}).json["exportId"]
    monkeypatch.setattr(zipfile.ZipFile, "open", full)

    work("padaria", export_id)

    failed = system.get(f"/exports/{export_id}", owner).json
    assert failed["status"] == "failed"
    assert failed["errorMessage"] == "the file could not be written: No space left on device"
    assert list(tmp_path.iterdir()) == []
    assert system.execute("SELECT count(*) FROM outbox WHERE job = 'export_leads'").fetchone() == (0,)


def test_thousands_of_leads_can_be_asked_for(system: System, owner: str, leads: dict[str, str]):
    strangers = [str(uuid.uuid4()) for _ in range(9_999)]

    assert system.post("/exports", owner, {"leadIds": list(leads.values()) * 5_000}).status_code == 202
    assert (
        system.post("/exports", owner, {"leadIds": [*leads.values(), *strangers[:9_998]]}).status_code == 404
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"fromDate": "0001-01-01T00:00:00+14:00"}, "fromDate"),
        ({"toDate": "9999-12-31T23:59:59-12:00"}, "toDate"),
        ({"fromDate": "2026-01-01T00:00:00"}, "fromDate"),
        ({"fromDate": "2026-01-02T00:00:00Z", "toDate": "2026-01-01T00:00:00Z"}, "toDate"),
        ({"fromDate": "2026-02-30"}, "fromDate"),
    ],
)
def test_times_are_refused_by_name(
    system: System, owner: str, leads: dict[str, str], body: dict[str, str], field: str
):
    answer = system.post("/exports", owner, body)

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, field)
    renamed = {name.removesuffix("Date"): value for name, value in body.items()}
    replay = system.post("/webhooks/replay", owner, renamed)
    assert (replay.status_code, replay.json["errors"][0]["field"]) == (400, field.removesuffix("Date"))


def test_an_unknown_number_is_refused_at_once(system: System, owner: str, leads: dict[str, str]):
    assert system.post("/exports", owner, {"instanceId": str(uuid.uuid4())}).status_code == 404
