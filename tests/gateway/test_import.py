"""Importing an exported chat, over the API."""

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

from capture_service import imports
from tests import wire
from tests.gateway.conftest import API, System

CHAT = """\
12/09/2026 09:15 - As mensagens e ligações são protegidas com a criptografia de ponta a ponta.
12/09/2026 09:15 - Ana: Bom dia! Tem pão de queijo?
12/09/2026 09:16 - Padaria Aurora: Tem sim,
quentinho!
12/09/2026 09:16 - Ana: ok
12/09/2026 09:16 - Ana: ok
12/09/2026 09:17 - Padaria Aurora: <Mídia oculta>
12/09/2026 09:18 - Ana: Mensagem apagada
13/09/2026 08:00 - Ana: até amanhã <Mensagem editada>
"""
HOW = {"businessParticipant": "Padaria Aurora", "timeZone": "America/Sao_Paulo"}


def zipped(name: str, text: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, text)
    return data.getvalue()


@pytest.fixture
def lead_id(system: System, owner: str) -> str:
    system.register(owner)
    system.post_webhook(wire.messages(wire.text("w1", "hoje não")))
    [lead] = system.leads(owner)
    return lead["id"]


def bring(system: System, token: str, lead_id: str, data: bytes | str = CHAT, **how: Any) -> Any:
    return system.client.post(
        f"{API}/leads/{lead_id}/import",
        query_string={**HOW, **how},
        data=data,
        content_type="application/octet-stream",
        headers={"Authorization": f"Bearer {token}"},
    )


def imported(
    system: System, token: str, lead_id: str, data: bytes | str = CHAT, **how: Any
) -> dict[str, Any]:
    answer = bring(system, token, lead_id, data, **how)
    assert answer.status_code == 202, answer.text
    system.run_sync("padaria", answer.json["syncId"])
    sync = system.get(f"/conversations/sync/{answer.json['syncId']}", token).json
    assert sync["instanceId"] == answer.json["instanceId"]
    return sync


def chat_of(system: System, token: str, lead_id: str) -> list[dict[str, Any]]:
    return [message for message in system.walk(token, lead_id) if message["syncSource"] == "chat_export"]


@pytest.mark.parametrize(
    "data", [CHAT, zipped("_chat.txt", CHAT), zipped("Conversa do WhatsApp com Ana.txt", CHAT)]
)
def test_a_chat_becomes_messages_in_their_order(system: System, owner: str, lead_id: str, data: Any) -> None:
    sync = imported(system, owner, lead_id, data)

    assert (sync["status"], sync["messagesImported"], sync["percent"]) == ("completed", 7, 100)
    assert [(m["direction"], m["body"]) for m in chat_of(system, owner, lead_id)] == [
        ("INBOUND", "Bom dia! Tem pão de queijo?"),
        ("OUTBOUND", "Tem sim,\nquentinho!"),
        ("INBOUND", "ok"),
        ("INBOUND", "ok"),
        ("OUTBOUND", "📎"),
        ("INBOUND", None),
        ("INBOUND", "até amanhã"),
    ]
    first, *_, deleted, _last = chat_of(system, owner, lead_id)
    assert first["timestamp"] == "2026-09-12T12:15:00Z"
    assert deleted["revokedAt"]
    assert not any(message["isSyncInitial"] for message in chat_of(system, owner, lead_id))
    [lead] = system.leads(owner)
    assert lead["messageCount"] == 8
    assert lead["firstMessageAt"] == first["timestamp"]


def test_the_same_chat_again_and_a_later_export_of_it_double_nothing(
    system: System, owner: str, lead_id: str
) -> None:
    imported(system, owner, lead_id)

    again = imported(system, owner, lead_id)
    later = imported(system, owner, lead_id, CHAT + "14/09/2026 10:00 - Ana: e hoje?\n")

    assert (again["messagesImported"], later["messagesImported"]) == (0, 1)
    assert len(chat_of(system, owner, lead_id)) == 8


def test_what_the_api_has_brought_is_matched_and_not_doubled(
    system: System, owner: str, lead_id: str
) -> None:
    noon = datetime(2026, 9, 12, 12, 15, 42, tzinfo=UTC)
    at = int(noon.timestamp())
    system.post_webhook(
        wire.messages(
            wire.text("w2", "Bom dia!  Tem pão de queijo?", at=at),
            wire.text("w3", "ok", at=at + 60),
        )
    )

    sync = imported(system, owner, lead_id)

    assert sync["messagesImported"] == 5
    assert sync["detail"]["matched"] == 2
    bodies = [message["body"] for message in system.walk(owner, lead_id)]
    assert bodies.count("ok") == 2
    assert sum("pão de queijo" in (body or "") for body in bodies) == 1


@pytest.mark.parametrize("name", ["padaria  aurora", " Padaria Aurora\u200e"])
def test_the_business_may_be_named_as_people_type_it(
    system: System, owner: str, lead_id: str, name: str
) -> None:
    sync = imported(system, owner, lead_id, businessParticipant=name)

    assert [who["name"] for who in sync["detail"]["participants"] if who["isBusiness"]] == ["Padaria Aurora"]
    assert sum(m["direction"] == "OUTBOUND" for m in chat_of(system, owner, lead_id)) == 2


def test_a_dry_run_reports_and_changes_nothing(system: System, owner: str, lead_id: str) -> None:
    answer = bring(system, owner, lead_id, dryRun="true")

    assert answer.status_code == 200
    report = answer.json["detail"]
    assert (report["new"], report["matched"], report["notices"], report["deleted"]) == (7, 0, 1, 1)
    assert {who["name"]: who["isBusiness"] for who in report["participants"]} == {
        "Ana": False,
        "Padaria Aurora": True,
    }
    assert report["dateOrder"] == "dmy"
    assert chat_of(system, owner, lead_id) == []
    assert system.execute("SELECT count(*) FROM chat_imports").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("data", "how", "field"),
    [
        (CHAT, {"businessParticipant": "Ninguém"}, "business_participant"),
        (CHAT, {"timeZone": "Marte/Olimpo"}, "time_zone"),
        (CHAT, {"timeZone": "../../etc/passwd"}, "time_zone"),
        ("não é uma conversa", {}, "file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), {}, "file"),
        (zipped("../_chat.txt", CHAT), {}, "file"),
        (zipped("foto.jpg", "x"), {}, "file"),
        (CHAT + "14/09/2026 10:00 - Caio: e eu?\n", {}, "file"),
        (b"", {}, "file"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_reason(
    system: System, owner: str, lead_id: str, data: Any, how: dict[str, str], field: str
) -> None:
    answer = bring(system, owner, lead_id, data, **how)

    assert answer.status_code == 400, answer.text
    [fault] = answer.json["errors"]
    assert _snake(fault["field"]) == field
    assert chat_of(system, owner, lead_id) == []


def test_a_parameter_that_is_missing_or_unknown_is_named(system: System, owner: str, lead_id: str) -> None:
    answer = bring(system, owner, lead_id, businessParticipant="", zone="x", dateOrder="ydm")

    assert answer.status_code == 400
    assert {fault["field"] for fault in answer.json["errors"]} == {"businessParticipant", "zone", "dateOrder"}


def test_a_zip_that_unpacks_to_far_more_is_refused(system: System, owner: str, lead_id: str) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_chat.txt", b"0" * 80_000_000)

    assert bring(system, owner, lead_id, data.getvalue()).status_code == 400


def test_a_file_larger_than_the_limit_is_413(system: System, owner: str, lead_id: str) -> None:
    assert bring(system, owner, lead_id, b"x" * (17 * 1024 * 1024)).status_code == 413


def test_a_form_with_the_file_is_taken_too(system: System, owner: str, lead_id: str) -> None:
    answer = system.client.post(
        f"{API}/leads/{lead_id}/import",
        query_string=HOW,
        data={"file": (io.BytesIO(CHAT.encode()), "chat.txt")},
        headers={"Authorization": f"Bearer {owner}"},
    )

    assert answer.status_code == 202


def test_a_lead_that_talks_to_two_numbers_needs_to_be_told_which(
    system: System, owner: str, lead_id: str
) -> None:
    other = system.register(owner, "222")
    change = wire.change(number_id="222", messages=[wire.text("w9")], contacts=[wire.contact()])
    system.post_webhook(wire.webhook(wire.entry(change)))

    assert bring(system, owner, lead_id).status_code == 400
    imported(system, owner, lead_id, instanceId=other)

    assert {message["instanceId"] for message in chat_of(system, owner, lead_id)} == {other}


def test_a_stranger_imports_nothing(
    system: System, owner: str, stranger: str, colleague: str, lead_id: str
) -> None:
    assert bring(system, stranger, lead_id).status_code in (403, 404)
    assert bring(system, colleague, lead_id).status_code == 403
    assert chat_of(system, owner, lead_id) == []


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            {"type": "location", "location": {"latitude": -23.5, "longitude": -46.6}},
            "localização: https://maps.google.com/?q=-23.5,-46.6",
        ),
        (
            {"type": "location", "location": {"latitude": 1.5, "longitude": 2.5, "name": "Praça"}},
            "Praça (Centro): https://foursquare.com/v/4b05886ef964a520b5e722e3",
        ),
        ({"type": "unsupported", "errors": [{"code": 131051}]}, "null"),
        (
            {"type": "order", "order": {"product_items": [{"product_retailer_id": "x", "quantity": 1}]}},
            "null",
        ),
        (
            {
                "type": "interactive",
                "interactive": {
                    "type": "list_reply",
                    "list_reply": {"id": "1", "title": "Pães", "description": "Todos os pães"},
                },
            },
            "Pães\nTodos os pães",
        ),
    ],
    ids=["location", "place", "unsupported", "order", "list reply"],
)
def test_what_is_neither_text_nor_file_is_not_doubled(
    system: System, owner: str, lead_id: str, told: dict[str, Any], line: str
) -> None:
    at = int(datetime(2026, 9, 12, 12, 15, 42, tzinfo=UTC).timestamp())
    system.post_webhook(wire.messages({"from": wire.ANA, "id": "w2", "timestamp": str(at), **told}))
    chat = f"12/09/2026 09:15 - Ana: {line}\n13/09/2026 08:00 - Padaria Aurora: {line}\n"

    for _ in range(2):
        imported(system, owner, lead_id, chat)

    assert len(chat_of(system, owner, lead_id)) == 1


@pytest.mark.parametrize("own", ["documento omitido", "<anexado: 00000012-contrato.pdf>"])
def test_a_document_that_is_known_is_not_doubled_by_its_name(
    system: System, owner: str, lead_id: str, own: str
) -> None:
    at = int(datetime(2026, 9, 12, 12, 15, 42, tzinfo=UTC).timestamp())
    document = {"id": "m2", "mime_type": "application/pdf", "sha256": "x", "filename": "contrato.pdf"}
    told = {"from": wire.ANA, "id": "w2", "timestamp": str(at), "type": "document", "document": document}
    system.post_webhook(wire.messages(told))
    line = f"Ana: contrato.pdf \u2022 \u200e3 páginas \u200e{own}\r\n"
    chat = f"[12/09/2026, 09:15:42] {line}[13/09/2026, 10:00:00] {line}"

    for _ in range(2):
        imported(system, owner, lead_id, chat + "[13/09/2026, 11:00:00] Padaria Aurora: ok\r\n")

    assert [message["body"] for message in chat_of(system, owner, lead_id)] == ["contrato.pdf", "ok"]


@pytest.mark.parametrize("business", ["Padaria Aurora", "Padaria: Aurora"])
def test_words_before_a_colon_stay_with_the_text_and_a_name_with_the_name(
    system: System, owner: str, lead_id: str, business: str
) -> None:
    chat = f"""\
12/09/2026 09:15 - Ana: Endereço: Rua A
12/09/2026 09:16 - {business}: Pedido: 10
12/09/2026 09:17 - Ana: Endereço: Rua B
12/09/2026 09:18 - {business}: Pedido: 11
"""

    imported(system, owner, lead_id, chat, businessParticipant=business)

    assert [(m["direction"], m["body"]) for m in chat_of(system, owner, lead_id)] == [
        ("INBOUND", "Endereço: Rua A"),
        ("OUTBOUND", "Pedido: 10"),
        ("INBOUND", "Endereço: Rua B"),
        ("OUTBOUND", "Pedido: 11"),
    ]


def test_what_was_deleted_or_edited_since_an_earlier_export_is_not_doubled(
    system: System, owner: str, lead_id: str
) -> None:
    first = """\
12/09/2026 09:15 - Ana: segredo
12/09/2026 09:15 - Padaria Aurora: ok
12/09/2026 09:16 - Ana: até
"""
    later = """\
12/09/2026 09:15 - Ana: Mensagem apagada
12/09/2026 09:15 - Padaria Aurora: ok
12/09/2026 09:16 - Ana: até logo <Mensagem editada>
"""
    latest = later.replace("até logo", "até amanhã")
    imported(system, owner, lead_id, first)
    dry = bring(system, owner, lead_id, later, dryRun="true").json
    assert (dry["detail"]["new"], dry["detail"]["matched"]) == (0, 3)

    for text in (later, later, latest, latest, first):
        assert imported(system, owner, lead_id, text)["messagesImported"] == 0

    deleted, _, edited = chat_of(system, owner, lead_id)
    assert deleted["revokedAt"]
    assert deleted["body"] is None
    assert edited["body"] == "até amanhã"
    assert [revision["body"] for revision in edited["revisions"]] == ["até", "até logo"]


MINUTE = int(datetime(2026, 9, 12, 12, 15, 42, tzinfo=UTC).timestamp())
AT = "12/09/2026 09:15 - "
END = "13/09/2026 10:00 - Padaria Aurora: até\n"


def told(wamid: str, kind: str, at: int = MINUTE, **part: Any) -> dict[str, Any]:
    return {"from": wire.ANA, "id": wamid, "timestamp": str(at), "type": kind, **part}


def image(wamid: str, **part: str) -> dict[str, Any]:
    return told(wamid, "image", image={"id": wamid, "mime_type": "image/jpeg", "sha256": "x", **part})


def in_minute(system: System, token: str, lead_id: str) -> list[dict[str, Any]]:
    """Give the messages of the twelfth of September."""
    return [m for m in system.walk(token, lead_id) if m["timestamp"].startswith("2026-09-12")]


def from_history(*messages: dict[str, Any]) -> bytes:
    return wire.history(
        {"id": wire.ANA, "messages": [{**told, "history_context": {"status": "READ"}} for told in messages]}
    )


@pytest.mark.parametrize(
    ("line", "body"), [("Mensagem apagada", "até"), ("até logo <Mensagem editada>", "até logo")]
)
def test_what_became_on_the_phone_of_a_message_of_the_api_is_it_and_takes_no_words_away(
    system: System, owner: str, lead_id: str, line: str, body: str
) -> None:
    system.post_webhook(wire.messages(wire.text("w2", "até", at=MINUTE)))

    for _ in range(2):
        imported(system, owner, lead_id, f"{AT}Ana: {line}\n{END}")

    [message] = in_minute(system, owner, lead_id)
    assert (message["revokedAt"], message["body"]) == (None, body)
    assert message["syncSource"] == "webhook"


def test_of_several_messages_nobody_can_say_which_was_deleted(
    system: System, owner: str, lead_id: str
) -> None:
    system.post_webhook(
        wire.messages(wire.text("w2", "um", at=MINUTE), wire.text("w3", "dois", at=MINUTE + 1))
    )

    for _ in range(2):
        imported(system, owner, lead_id, f"{AT}Ana: Mensagem apagada\n{END}")

    shown = in_minute(system, owner, lead_id)
    assert [(m["body"], m["revokedAt"]) for m in shown] == [("um", None), ("dois", None)]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("<Mídia oculta>", "unsupported"),
        ("ENQUETE:\nPizza?\nOPÇÃO: sim (1 voto)", "text"),
        ("oi", "text"),
        ("null", "unsupported"),
    ],
)
def test_a_message_of_which_the_api_knows_nothing_says_what_its_line_says(
    system: System, owner: str, lead_id: str, line: str, shown: str
) -> None:
    system.post_webhook(wire.messages(told("w2", "unsupported", errors=[{"code": 131051}])))

    for _ in range(2):
        imported(system, owner, lead_id, f"{AT}Ana: {line}\n{END}")

    [message] = in_minute(system, owner, lead_id)
    assert message["type"] == shown
    assert shown != "text" or message["body"] == line


def test_of_more_lines_than_such_messages_none_is_taken_for_one(
    system: System, owner: str, lead_id: str
) -> None:
    system.post_webhook(wire.messages(told("w2", "unsupported", errors=[{"code": 131051}])))

    imported(system, owner, lead_id, f"{AT}Ana: um\n{AT}Ana: dois\n{END}")

    assert [m["body"] for m in chat_of(system, owner, lead_id)] == ["um", "dois", "até"]


@pytest.mark.parametrize("text", ["Mensagem apagada", "null", "foto.jpg (arquivo anexado)", "<Mídia oculta>"])
def test_what_somebody_typed_is_known_though_it_reads_as_whatsapps_own_words(
    system: System, owner: str, lead_id: str, text: str
) -> None:
    system.post_webhook(wire.messages(wire.text("w2", text, at=MINUTE)))

    imported(system, owner, lead_id, f"{AT}Ana: {text}\n{END}")

    [message] = in_minute(system, owner, lead_id)
    assert message["body"] == text


@pytest.mark.parametrize("is_history_first", [True, False])
@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("IMG-20260912-WA0012.jpg (arquivo anexado)\nlegenda", "legenda"),
        ("<Mídia oculta>\nlegenda", "legenda"),
        ("<Mídia oculta>", "📎"),
    ],
)
def test_a_placeholder_of_a_history_is_the_file_of_the_chat(
    system: System, owner: str, lead_id: str, is_history_first: bool, line: str, body: str
) -> None:
    history = from_history(told("w2", "media_placeholder"))
    if is_history_first:
        system.post_webhook(history)
    sync_id = imported(system, owner, lead_id, f"{AT}Ana: {line}\n{END}")["syncId"]
    if not is_history_first:
        system.post_webhook(history)
        system.run_sync("padaria", sync_id)

    [message] = in_minute(system, owner, lead_id)

    assert (message["syncSource"], message["body"], message["timestamp"]) == (
        "history",
        body,
        "2026-09-12T12:15:42Z",
    )
    # What the history says after all is believed.
    system.post_webhook(from_history(image("w2", caption="a verdadeira")))
    assert [m["body"] for m in in_minute(system, owner, lead_id)] == ["a verdadeira"]


@pytest.mark.parametrize(("plain", "captioned"), [("w2", "w3"), ("w3", "w2")])
@pytest.mark.parametrize("is_captioned_first", [True, False])
def test_files_of_one_second_are_told_apart_by_their_captions(
    system: System, owner: str, lead_id: str, plain: str, captioned: str, is_captioned_first: bool
) -> None:
    system.post_webhook(wire.messages(image(plain), image(captioned, caption="legenda")))
    lines = [f"{AT}Ana: IMG-1.jpg (arquivo anexado)\n", f"{AT}Ana: IMG-2.jpg (arquivo anexado)\nlegenda\n"]
    if is_captioned_first:
        lines.reverse()

    imported(system, owner, lead_id, "".join(lines) + END)

    assert {m["syncSource"] for m in in_minute(system, owner, lead_id)} == {"webhook"}
    assert len(in_minute(system, owner, lead_id)) == 2


@pytest.mark.parametrize("is_iphone_first", [True, False])
@pytest.mark.parametrize(
    ("iphone", "android"),
    [
        (
            "\u200eLocalização: https://maps.google.com/?q=-23.5,-46.6",
            "localização: https://maps.google.com/?q=-23.5,-46.6",
        ),
        ("contrato.pdf \u2022 \u200e3 páginas \u200edocumento omitido", "contrato.pdf (arquivo anexado)"),
        ("olha \u200eimagem ocultada", "<Mídia oculta>"),
        ("\u200eimagem ocultada", "IMG-20260912-WA0012.jpg (arquivo anexado)"),
        ("oi \u200e<Mensagem editada>", "oi <Mensagem editada>"),
        ("\u200eEsta mensagem foi apagada.", "Mensagem apagada"),
    ],
)
def test_one_chat_exported_by_two_phones_is_there_once(
    system: System, owner: str, lead_id: str, iphone: str, android: str, is_iphone_first: bool
) -> None:
    chats = [
        f"[12/09/2026, 09:15:42] Ana: {iphone}\r\n[13/09/2026, 10:00:00] Padaria Aurora: até\r\n",
        f"{AT}Ana: {android}\n{END}",
    ]
    if not is_iphone_first:
        chats.reverse()

    first, *later = [imported(system, owner, lead_id, chat)["messagesImported"] for chat in (*chats, *chats)]

    assert (first, later) == (2, [0, 0, 0])


def test_what_only_statuses_or_a_templates_name_tell_of_says_what_its_line_says(
    system: System, owner: str, lead_id: str
) -> None:
    system.post_webhook(
        wire.statuses(wire.status("w2", "sent", at=MINUTE), wire.status("w2", "delivered", at=MINUTE + 1))
    )
    named = {"from": wire.BUSINESS, "to": wire.ANA, "template": {"name": "pedido"}}
    system.post_webhook(from_history({**told("w3", "template", at=MINUTE + 60), **named}))
    chat = f"""\
{AT}Padaria Aurora: seu pedido saiu
12/09/2026 09:16 - Padaria Aurora: seu pedido chegou
{END}"""

    for _ in range(2):
        imported(system, owner, lead_id, chat)

    shown = in_minute(system, owner, lead_id)
    assert [(m["body"], m["status"]) for m in shown] == [
        ("seu pedido saiu", "delivered"),
        ("seu pedido chegou", "read"),
    ]


@pytest.mark.parametrize("author", ["Caio", "~\u202fCaio", "+55 21 99999-0000"])
def test_in_a_group_a_line_is_its_authors_message(
    system: System, owner: str, lead_id: str, author: str
) -> None:
    said = {**wire.text("w2", "oi", at=MINUTE), "from": "5521999990000", "group_id": "G1"}
    system.post_webhook(wire.messages(said, contacts=[wire.contact("5521999990000", "Caio")]))
    [group] = [lead["id"] for lead in system.leads(owner) if lead["id"] != lead_id]

    for _ in range(2):
        imported(system, owner, group, f"{AT}Ana: oi\n{AT}{author}: oi\n{END}")

    shown = in_minute(system, owner, group)
    assert {m["from"]["name"]: m["syncSource"] for m in shown} == {"Ana": "chat_export", "Caio": "webhook"}


def test_where_the_file_does_not_tell_day_from_month_what_is_known_does(
    system: System, owner: str, lead_id: str
) -> None:
    chat = "10/5/26, 14:33 - Ana: oi\n10/6/26, 14:33 - Padaria Aurora: olá\n"
    report = bring(system, owner, lead_id, chat, dryRun="true").json["detail"]
    assert (report["dateOrder"], report["isDateOrderGuessed"]) == ("dmy", True)
    at = int(datetime(2026, 10, 5, 17, 33, 5, tzinfo=UTC).timestamp())
    system.post_webhook(wire.messages(wire.text("w2", "oi", at=at)))

    for _ in range(2):
        report = imported(system, owner, lead_id, chat)["detail"]
        assert (report["dateOrder"], report["isDateOrderGuessed"]) == ("mdy", False)

    [answer] = chat_of(system, owner, lead_id)
    assert answer["timestamp"] == "2026-10-06T17:33:00Z"


def test_answers_that_only_the_chat_has_follow_what_they_answer(
    system: System, owner: str, lead_id: str
) -> None:
    system.post_webhook(
        wire.messages(wire.text("w2", "Tem pão?", at=MINUTE), wire.text("w3", "E bolo?", at=MINUTE + 9))
    )
    said = [("Ana", "Tem pão?"), ("Padaria Aurora", "tem"), ("Ana", "E bolo?"), ("Padaria Aurora", "também")]

    imported(system, owner, lead_id, "".join(f"{AT}{who}: {text}\n" for who, text in said) + END)

    assert [m["body"] for m in in_minute(system, owner, lead_id)] == [text for _, text in said]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_a_history_that_comes_after_the_chat_takes_the_place_of_what_both_have(
    system: System, owner: str, lead_id: str
) -> None:
    sync_id = imported(system, owner, lead_id)["syncId"]
    at = int(datetime(2026, 9, 12, 12, 15, 42, tzinfo=UTC).timestamp())
    told = [
        {**wire.text("w2", "Bom dia! Tem pão de queijo?", at=at), "history_context": {"status": "READ"}},
        {**wire.text("w3", "ok", at=at + 60), "history_context": {"status": "READ"}},
        {**wire.text("w4", "só no histórico", at=at + 90), "history_context": {"status": "READ"}},
    ]
    system.post_webhook(wire.history({"id": wire.ANA, "messages": told}))

    system.run_sync("padaria", sync_id)

    sync = system.get(f"/conversations/sync/{sync_id}", owner).json
    assert (sync["status"], sync["messagesImported"], sync["detail"]["doubled"]) == ("completed", 7, 2)
    shown = list(system.walk(owner, lead_id))
    bodies = [message["body"] for message in shown]
    assert sum("pão de queijo" in (body or "") for body in bodies) == 1
    assert (bodies.count("ok"), bodies.count("só no histórico")) == (2, 1)
    # One "ok" is the history's now, the other is in the exported chat alone.
    assert sorted(m["syncSource"] for m in shown if m["body"] == "ok") == ["chat_export", "history"]
    [lead] = system.leads(owner)
    assert lead["messageCount"] == len(shown) == 9

    assert sync["detail"]["new"] == 7

    # Whatever is done again adds and takes nothing.
    system.post_webhook(wire.history({"id": wire.ANA, "messages": told}))
    system.run_sync("padaria", sync_id)
    again = imported(system, owner, lead_id)
    assert again["messagesImported"] == 0
    assert [message["id"] for message in system.walk(owner, lead_id)] == [message["id"] for message in shown]


def test_a_history_that_comes_while_the_chat_is_compared_has_it_compared_again(
    system: System, owner: str, lead_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = int(datetime(2026, 9, 12, 12, 15, 42, tzinfo=UTC).timestamp())
    told = {**wire.text("w2", "Bom dia! Tem pão de queijo?", at=at), "history_context": {"status": "READ"}}
    run = imports.run

    def late(*arguments: Any, **how: Any) -> str:
        report = run(*arguments, **how)
        system.post_webhook(wire.history({"id": wire.ANA, "messages": [told]}))
        return report

    monkeypatch.setattr(imports, "run", late)
    sync = imported(system, owner, lead_id)
    assert sync["status"] == "pending"
    monkeypatch.setattr(imports, "run", run)
    assert system.execute("SELECT due_at <= now() FROM outbox WHERE job = 'run_sync'").fetchall() == [(True,)]

    system.run_sync("padaria", sync["syncId"])

    assert len(list(system.walk(owner, lead_id))) == 8
    assert system.execute("SELECT count(*) FROM outbox WHERE job = 'run_sync'").fetchone() == (0,)


def test_comparing_again_brings_nothing_back_that_has_gone_elsewhere(
    system: System, owner: str, lead_id: str
) -> None:
    sync_id = imported(system, owner, lead_id)["syncId"]
    # As when the lead was parted from the one that the chat was imported for.
    system.execute("UPDATE whatsapp_messages SET lead_id = NULL WHERE wamid LIKE 'export.%'")
    at = int(datetime(2026, 9, 12, 12, 15, 42, tzinfo=UTC).timestamp())
    told = {**wire.text("w2", "Bom dia! Tem pão de queijo?", at=at), "history_context": {"status": "READ"}}
    system.post_webhook(wire.history({"id": wire.ANA, "messages": [told]}))

    system.run_sync("padaria", sync_id)

    assert [message["body"] for message in system.walk(owner, lead_id)] == [told["text"]["body"], "hoje não"]


def test_a_contact_card_leaves_the_placeholder_beside_it_to_the_picture(
    system: System, owner: str, lead_id: str
) -> None:
    card = told("w2", "contacts", at=MINUTE + 1, contacts=[{"name": {"formatted_name": "Zé"}}])
    system.post_webhook(from_history(card, told("w3", "media_placeholder", at=MINUTE + 9)))

    lines = [f"{AT}Ana: Zé.vcf (arquivo anexado)", f"{AT}Ana: IMG-1.jpg (arquivo anexado)", "legenda"]
    imported(system, owner, lead_id, "\n".join(lines) + f"\n{END}")

    assert len(in_minute(system, owner, lead_id)) == 2
