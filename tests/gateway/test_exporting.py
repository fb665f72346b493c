"""The export formats: what a program, a spreadsheet, a reader and a phone's format get of the same chat."""

import csv
import html.parser
import io
import json
import string
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from capture_service import kinds
from capture_service.chat_export import marks, parser
from gateway import exporting, render
from gateway.exporting import document, message as reading, page
from protos import history_pb2 as pb

SAO_PAULO: Final = ZoneInfo("America/Sao_Paulo")
BEGINNING: Final = datetime(2026, 10, 31, 17, 33, 10, tzinfo=UTC)
PT: Final = exporting.Options("pt-BR", SAO_PAULO)
EN: Final = exporting.Options("en", SAO_PAULO)
LEAD: Final = {
    "id": "7",
    "name": "Ana Souza",
    "number": "+5511988887777",
    "firstMessageAt": "2026-05-01T12:00:00Z",
    "lastMessageAt": "2026-11-22T14:03:05.250Z",
    "messageCount": 3,
}
HEADER: Final = exporting.Header(
    lead=LEAD,
    exported_at=datetime(2026, 11, 23, 15, 0, tzinfo=UTC),
    statements=("Ao vivo desde 01/05/2026.", "Antes disso, nada se sabe."),
)
LINE_SEPARATOR: Final = "\u2028"
RLO: Final = "\u202e"
HOSTILE: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "</title></head><body onload=alert(1)>",
    "<!-- & --> &lt;b&gt; ]]>",
    "javascript:alert(1)",
    "=1+1",
    "@SUM(A1:A9)",
    "a\x00b",
    f"um{LINE_SEPARATOR}dois\u2029três",
    f"{RLO}gpj.exe",
    "\u200f\u05e9\u05dc\u05d5\u05dd",
    'a,b;c\t"d"\r\ne\rf\ng',
    "{{7*7}} ${x} %s",
    "😀" * 30,
    "x" * 100_000,
)


def answered(number: int = 1, *, at: datetime = BEGINNING, outbound: bool = False, **fields: Any) -> Any:
    """A message as the API answers with it; `fields` are those of its protobuf."""
    sender = pb.Party(name="Loja", number="551140000000") if outbound else ANA
    stamp = Timestamp()
    stamp.FromDatetime(at)
    given: dict[str, Any] = {
        "type": "text",
        "body": "oi",
        "sender": sender,
        "status": "delivered",
        "sync_source": "webhook",
    }
    return render.message(
        pb.Message(
            id=f"id-{number}",
            wamid=f"wamid.{number}",
            direction=pb.OUTBOUND if outbound else pb.INBOUND,
            sent_at=stamp,
            instance_id="instance-1",
            **{**given, **fields},
        )
    )


def shown(number: int = 1, **fields: Any) -> dict[str, Any]:
    """The same as a dictionary, in which Meta's documents are as they came."""
    return msgspec.to_builtins(answered(number, **fields), builtin_types=(msgspec.Raw,))


ANA: Final = pb.Party(name="Ana Souza", number="5511988887777", user_id="BR.4711")


def stamp(at: datetime) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(at)
    return found


def export(
    name: str,
    messages: Iterable[dict[str, Any]],
    options: exporting.Options = PT,
    header: exporting.Header = HEADER,
) -> bytes:
    return b"".join(exporting.FORMATS[name].write(header, messages, options))


def table(*messages: dict[str, Any], options: exporting.Options = EN) -> list[dict[str, str]]:
    text = export("csv", messages, options).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=options.separator, strict=True))


def chat(*messages: dict[str, Any], options: exporting.Options = PT) -> str:
    return export("txt", messages, options).decode()


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: elements with their attributes, and the text of each bubble."""

    VOID: Final = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.bubbles: list[str] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "li" and "m" in (dict(attrs).get("class") or "").split():
            self.bubbles.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words += data
        if "ol" in self.open and "li" in self.open:
            self.bubbles[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown_page(*messages: dict[str, Any], options: exporting.Options = PT, **header: Any) -> Page:
    text = export("html", messages, options, HEADER._replace(**header)).decode()
    found = Page(text)
    assert found.open == []
    return found


ALLOWED_ELEMENTS: Final = frozenset(
    [
        *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "footer"),
        *("h1", "h2", "dl", "dt", "dd", "ul", "ol", "li", "p", "div", "blockquote", "details", "summary"),
        *("time", "bdi", "b", "a", "span"),
    ]
)


# All formats


@pytest.mark.parametrize("name", exporting.FORMATS)
def test_nobody_said_anything(name: str):
    written = export(name, [])

    assert {"jsonl": b"", "txt": b""}.get(name, written) == written
    if name == "csv":
        assert written.count(b"\r\n") == 1
    if name == "html":
        assert Page(written.decode()).words.rstrip().endswith("0 mensagens")


@pytest.mark.parametrize("name", exporting.FORMATS)
def test_messages_are_read_one_by_one_and_only_when_asked_for(name: str):
    read = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal read
        while True:
            read += 1
            yield shown(read, body="x" * 1_000)

    chunks = exporting.FORMATS[name].write(HEADER, endless(), PT)

    assert read == 0
    first = next(chunks)
    assert read <= 70
    assert document.CHUNK_BYTES <= len(first) < document.CHUNK_BYTES + 4_000


@pytest.mark.parametrize("name", exporting.FORMATS)
def test_what_fails_while_reading_fails_the_export(name: str):
    def broken() -> Iterator[dict[str, Any]]:
        yield shown()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        export(name, broken())


@pytest.mark.parametrize("name", exporting.FORMATS)
def test_memory_does_not_grow_with_the_conversation(name: str):
    messages = [shown(n, body=f"mensagem {n}") for n in range(10)]

    def conversation(count: int) -> Iterator[dict[str, Any]]:
        for n in range(count):
            yield {**messages[n % 10], "id": f"id-{n}", "context": {"messageId": f"id-{n // 2}"}}

    def peak_bytes(count: int) -> tuple[int, int]:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        written = sum(map(len, exporting.FORMATS[name].write(HEADER, conversation(count), PT)))
        return tracemalloc.get_traced_memory()[1] - before, written

    tracemalloc.start()
    try:
        # Enough to fill what a page keeps for quoting.
        at_first, _ = peak_bytes(2 * page.QUOTABLE_MAX)
        in_the_end, written = peak_bytes(200_000)
    finally:
        tracemalloc.stop()

    assert written > 8_000_000
    assert in_the_end < 6_000_000
    assert in_the_end < at_first + 300_000


@pytest.mark.parametrize("name", exporting.FORMATS)
@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_break_no_format(name: str, said: str):
    party = pb.Party(name=said, number="5511988887777")
    document_json = json.dumps({"document": {"filename": f"{said}.pdf"}})
    messages = [
        shown(1, body=said, sender=party, reactions=[pb.Reaction(emoji=said[:99], sender=party)]),
        shown(2, type="document", body=said, content_json=document_json, media_url=said, reply_to_id=said,
              context_json="{}"),
        shown(3, type=said, body=said, status="failed", errors_json=json.dumps([{"title": said}])),
        shown(4, body="novo", edited_at=stamp(BEGINNING), revisions=[pb.Revision(body=said)]),
    ]  # fmt: skip
    header = HEADER._replace(lead={**LEAD, "name": said}, statements=(said,))

    written = export(name, messages, PT, header).decode()

    if name == "jsonl":
        assert [json.loads(line)["body"] for line in written.split("\n")[:-1]] == [said, said, said, "novo"]
    elif name == "csv":
        rows = list(csv.reader(io.StringIO(written, newline=""), strict=True))
        assert len(rows) == 5
        assert {len(row) for row in rows} == {21}
    elif name == "html":
        found = Page(written)
        assert found.open == []
        assert len(found.bubbles) == 4
        assert {tag for tag, _ in found.elements} <= ALLOWED_ELEMENTS
        assert not any(key.startswith("on") for _, attributes in found.elements for key in attributes)
        assert "\x00" not in written
    else:
        assert len(parser.parse(written, zone=SAO_PAULO).lines) == 4
        assert "\x00" not in written


@pytest.mark.parametrize("name", ["csv", "html", "txt"])
def test_content_that_python_cannot_hold_costs_only_itself(name: str):
    messages = [
        shown(1, type="image", body="o bolo", content_json=r'{"image":{"filename":"\ud800"}}'),
        shown(2, type="image", body="o pão", content_json='{"image":{"filename":1e999}}'),
        shown(3, type="image", body="a torta", content_json='{"image":[1]}', errors_json='{"no":"list"}'),
        {**shown(4), "body": "fim \ud800", "context": [], "content": "text"},
    ]

    written = export(name, messages).decode()

    assert [word for word in ("o bolo", "o pão", "a torta", "fim ?") if word not in written] == []


def test_values_in_plain_python_read_as_documents_do():
    content = {"document": {"filename": "Contrato.pdf", "caption": "assine"}}
    raw = shown(type="document", body="assine", content_json=json.dumps(content), context_json="{}")
    plain = {**raw, "content": content, "context": {"messageId": None, "wamid": None}}

    assert isinstance(raw["content"], msgspec.Raw)
    for name in exporting.FORMATS:
        assert json.loads(export("jsonl", [raw])) == json.loads(export("jsonl", [plain]))
        if name != "jsonl":
            assert export(name, [raw]) == export(name, [plain])


@pytest.mark.parametrize("name", ["csv", "html", "txt"])
@pytest.mark.parametrize(
    "sent_at", [Timestamp(seconds=-62_135_596_800), Timestamp(seconds=253_402_300_799, nanos=123_456_789)]
)
def test_the_ends_of_the_calendar_are_written_in_utc_where_the_zone_has_no_such_time(
    name: str, sent_at: Timestamp
):
    for zone in (SAO_PAULO, ZoneInfo("Pacific/Kiritimati")):
        written = export(
            name, [{**shown(), "timestamp": sent_at.ToJsonString()}], PT._replace(time_zone=zone)
        )

        assert b"oi" in written


@pytest.mark.parametrize("name", exporting.FORMATS)
def test_structs_and_dictionaries_are_written_alike(name: str):
    fields: dict[str, Any] = {
        "context_json": '{"forwarded":true}',
        "reactions": [pb.Reaction(emoji="👍", sender=ANA)],
    }
    lead = render.lead(pb.Lead(id="7", kind="person", name="Ana", number="+5511988887777"))

    structs = export(name, [answered(**fields), answered(2)], PT, HEADER._replace(lead=lead))

    as_dictionary = msgspec.json.decode(msgspec.json.encode(lead))
    assert structs == export(name, [shown(**fields), shown(2)], PT, HEADER._replace(lead=as_dictionary))


# jsonl


def test_a_line_of_jsonl_is_the_message_of_the_api():
    messages = [
        shown(1, body="duas\nlinhas e \u2028 uma"),
        shown(2, outbound=True, type="image", body="📷", content_json='{"image":{"id":9007199254740993}}'),
    ]

    written = export("jsonl", messages)

    assert written.split(b"\n") == [msgspec.json.encode(message) for message in messages] + [b""]


def test_a_document_on_several_lines_is_still_one_line_of_jsonl():
    message = shown(content_json='{\r\n  "image": {"caption": "a\\nb"}\n}')

    lines = export("jsonl", [message]).splitlines()

    assert len(lines) == 1
    assert json.loads(lines[0])["content"] == {"image": {"caption": "a\nb"}}


# csv


def test_a_row_says_what_a_person_looks_for():
    reacted = pb.Reaction(emoji="👍", sender=pb.Party(name="Loja"))
    message = shown(
        type="document",
        body="assine, por favor",
        content_json='{"document":{"filename":"Contrato.pdf"}}',
        media_url="https://example.org/m/1",
        context_json='{"id":"wamid.0"}',
        reply_to_id="id-0",
        reply_to_wamid="wamid.0",
        reactions=[reacted, pb.Reaction(emoji="❤️", sender=ANA)],
        edited_at=stamp(BEGINNING + timedelta(minutes=2)),
        status="failed",
        errors_json='[{"code":131026,"title":"Undeliverable","error_data":{"details":"No such user"}}]',
    )

    assert table(message) == [
        {
            "Timestamp (UTC)": "2026-10-31T17:33:10Z",
            "Date": "2026-10-31",
            "Time": "14:33:10",
            "Direction": "INBOUND",
            "From name": "Ana Souza",
            "From number": "'+5511988887777",
            "Type": "document",
            "Body": "assine, por favor",
            "Status": "failed",
            "Media": "document",
            "File name": "Contrato.pdf",
            "Media address": "https://example.org/m/1",
            "Reply to": "id-0",
            "Reactions": "👍 Loja; ❤️ Ana Souza",
            "Edited at": "2026-10-31T17:35:10Z",
            "Revoked at": "",
            "Error": "No such user (131026)",
            "Source": "webhook",
            "Id": "id-1",
            "Wamid": "wamid.1",
            "Instance id": "instance-1",
        }
    ]


def test_the_day_of_a_row_is_that_of_the_zone():
    late = shown(at=datetime(2026, 11, 1, 1, 5, tzinfo=UTC))

    (here,) = table(late)
    (far,) = table(late, options=EN._replace(time_zone=ZoneInfo("Asia/Tokyo")))

    assert (here["Date"], here["Time"]) == ("2026-10-31", "22:05:00")
    assert (far["Date"], far["Time"]) == ("2026-11-01", "10:05:00")


def test_the_columns_are_named_in_the_readers_language():
    (row,) = table(shown(), options=PT)

    assert (row["Nome"], row["Texto"], row["Data"]) == ("Ana Souza", "oi", "2026-10-31")


@pytest.mark.parametrize(("with_bom", "begins"), [(True, b"\xef\xbb\xbfTimestamp"), (False, b"Timestamp")])
def test_the_byte_order_mark_is_there_once_and_when_asked(with_bom: bool, begins: bytes):
    written = export("csv", [shown()], EN._replace(with_bom=with_bom))

    assert written.startswith(begins)
    assert written.count(b"\xef\xbb\xbf") == with_bom


def test_a_table_for_spreadsheets_in_portuguese_has_semicolons():
    options = EN._replace(separator=";")

    written = export("csv", [shown(body="a;b,c")], options)

    assert b'"a;b,c"' in written
    assert table(shown(body="a;b,c"), options=options)[0]["Body"] == "a;b,c"


@pytest.mark.parametrize(
    "said",
    [
        '=HYPERLINK("http://example.org?"&A1)',
        "+5511999999999",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1)",
        "\ttab",
        "\rreturn",
        "\nfeed",
        "  =1+1",
        "\xa0=1+1",
        "\u200b\ufeff=1+1",
        f"{RLO}=1+1",
        "\u2028=1+1",
        "\x00=1+1",
        "\n\n  -1",
        "\uff1d1+1",
        "\uff20SUM",
    ],
)
def test_no_cell_is_a_formula(said: str):
    party = pb.Party(name=said)
    message = shown(
        type="document",
        body=said,
        sender=party,
        status="failed",
        media_url=said,
        content_json=json.dumps({"document": {"filename": said}}),
        errors_json=json.dumps([{"title": said}]),
        reactions=[pb.Reaction(emoji=said, sender=party)],
    )

    (row,) = table(message)

    assert row["Body"] == "'" + said.replace("\x00", "\ufffd")
    for cell in row.values():
        assert not cell.lstrip("\ufffd\u200b\ufeff\u202e \t\r\n\xa0\u2028").startswith(tuple("=+-@＝＠"))  # noqa: RUF001


@pytest.mark.parametrize("said", ["a=b", "1-2", "ana@example.org", "'=1", "olá", "é", " ", "(=1)"])
def test_a_cell_that_is_no_formula_is_left_alone(said: str):
    assert table(shown(body=said))[0]["Body"] == said


@given(
    bodies=st.lists(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters=[chr(n) for n in range(127, 160)])
        ).map(lambda text: "".join(char for char in text if char >= " " or char in "\t\r\n")),
        max_size=5,
    ),
    separator=st.sampled_from((",", ";")),
    with_bom=st.booleans(),
)
def test_python_reads_back_every_text_of_a_table(bodies: list[str], separator: Any, with_bom: bool):
    options = EN._replace(separator=separator, with_bom=with_bom)

    rows = table(*(shown(n, body=body) for n, body in enumerate(bodies)), options=options)

    assert [row["Id"] for row in rows] == [f"id-{n}" for n in range(len(bodies))]
    for row, body in zip(rows, bodies, strict=True):
        assert row["Body"] in (body, f"'{body}")
        assert not row["Body"].strip().startswith(tuple("=+-@"))


# html


def test_a_page_needs_nothing_and_lets_nothing_run():
    written = export("html", [shown(), shown(2, type="image", body="📷", media_url="/media/1")]).decode()
    found = Page(written)

    (policy,) = [meta for meta in found.all("meta") if meta.get("http-equiv")]
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert {tag for tag, _ in found.elements} <= ALLOWED_ELEMENTS
    assert not any("src" in attributes or "style" in attributes for _, attributes in found.elements)
    assert "url(" not in written
    assert "@import" not in written
    assert "@media print" in written
    assert "prefers-color-scheme:dark" in written


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PT, ("Conversa com Ana Souza", "01/05/2026 09:00 a 22/11/2026 11:03",
              "sábado, 31 de outubro de 2026")),
        (EN, ("Conversation with Ana Souza", "5/1/2026, 9:00 AM to 11/22/2026, 11:03 AM",
              "Saturday, October 31, 2026")),
    ],
)  # fmt: skip
def test_a_page_says_whose_conversation_it_is_and_what_it_covers(
    options: exporting.Options, words: tuple[str, ...]
):
    found = shown_page(shown(), options=options)

    assert found.all("html") == [{"lang": options.language}]
    for word in (*words, "+5511988887777", "America/Sao_Paulo", *HEADER.statements):
        assert word in found.words


def test_a_person_without_name_and_number_has_a_page_too():
    found = shown_page(lead={"name": None, "number": None, "userId": None}, statements=())

    assert "Conversa com Desconhecido" in found.words
    assert "cobre" not in found.words


def test_every_day_has_its_heading_in_the_zone():
    late = datetime(2026, 11, 1, 2, 59, tzinfo=UTC)

    found = shown_page(shown(1, at=late), shown(2, at=late + timedelta(minutes=1)), shown(3, at=late))

    days = [time["datetime"] for time in found.all("time") if len(time["datetime"] or "") == 10]
    assert days == ["2026-10-31", "2026-11-01", "2026-10-31"]
    assert len(found.all("section")) == 3


def test_what_people_wrote_is_text():
    said = "<b>negrito</b> & <script>x</script>\n  recuado \"a\" 'b'"

    found = shown_page(shown(body=said))

    assert said in found.bubbles[0]


def test_a_reply_quotes_what_it_answers():
    found = shown_page(
        shown(1, body="Vocês fazem bolo\nde cenoura?"),
        shown(2, outbound=True, body="Fazemos", context_json="{}", reply_to_id="id-1", reply_to_wamid="w"),
    )

    assert "Ana Souza Vocês fazem bolo de cenoura?" in found.bubbles[1]
    assert {"href": "#m-id-1"} in found.all("a")
    assert found.all("li")[2]["id"] == "m-id-1"


def test_a_reply_to_something_long_ago_has_a_link_only():
    answer = shown(2, body="Fazemos", context_json="{}", reply_to_id="id-0", reply_to_wamid="w")

    def conversation() -> Iterator[dict[str, Any]]:
        yield shown(0, body="a pergunta")
        for n in range(1, page.QUOTABLE_MAX):
            yield {**between, "id": f"id-between-{n}"}
        yield {**answer, "id": "in time"}
        yield {**answer, "id": "too late"}

    between = shown()
    *_, in_time, too_late = Page(export("html", conversation()).decode()).bubbles

    assert "a pergunta" in in_time
    assert "a pergunta" not in too_late
    assert "Resposta a uma mensagem anterior" in too_late


def test_a_reply_to_what_is_not_known_here_says_so():
    found = shown_page(shown(context_json="{}", reply_to_wamid="wamid.elsewhere"))

    assert "Resposta a uma mensagem que não está aqui" in found.bubbles[0]
    assert found.all("a") == []


def test_what_was_deleted_is_quoted_by_nobody():
    found = shown_page(
        shown(1, body="segredo", revoked_at=stamp(BEGINNING + timedelta(hours=1))),
        shown(2, context_json="{}", reply_to_id="id-1", reply_to_wamid="w"),
    )

    assert "segredo" not in found.words
    assert "Mensagem apagada em 31/10/2026 15:33" in found.bubbles[0]
    assert "Mensagem apagada" in found.bubbles[1]


def test_an_edited_message_shows_when_and_what_it_said_before():
    found = shown_page(
        shown(
            body="às nove",
            edited_at=stamp(BEGINNING + timedelta(minutes=5)),
            revisions=[pb.Revision(body="às <oito>", said_at=stamp(BEGINNING)), pb.Revision()],
        )
    )

    assert "às nove" in found.bubbles[0]
    assert "Antes da edição31/10/2026 14:33às <oito>" in found.bubbles[0]
    assert "Editada em 31/10/2026 14:38" in found.bubbles[0]


def test_a_failed_message_says_why():
    errors = '[{"code":131047,"title":"Re-engagement message"},{"code":1},{"other":true}]'

    found = shown_page(
        shown(1, outbound=True, status="failed", errors_json=errors), shown(2, outbound=True, status="failed")
    )

    assert "Não entregue: Re-engagement message (131047); (1)" in found.bubbles[0]
    assert "Não entregue" in found.bubbles[1]


@pytest.mark.parametrize(
    ("status", "state"),
    [("pending", "pendente"), ("sent", "enviada"), ("delivered", "entregue"), ("read", "lida")],
)
def test_the_ticks_of_what_the_business_sent_have_a_name(status: str, state: str):
    found = shown_page(shown(1, outbound=True, status=status), shown(2, status=status))

    assert [span["aria-label"] for span in found.all("span")] == [state]


def test_reactions_forwards_and_where_it_comes_from_are_told():
    found = shown_page(
        shown(
            context_json='{"forwarded":true}',
            reactions=[pb.Reaction(emoji="👍", sender=pb.Party(number="551140000000"))],
            sync_source="chat_export",
            pattern="auto_reply",
        )
    )

    for word in ("Encaminhada", "Reações: 👍 +551140000000", "conversa importada", "resposta automática"):
        assert word in found.bubbles[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "image", "body": "📷"}, "Foto"),
        ({"type": "image", "body": "o bolo"}, "Fotoo bolo"),
        ({"type": "audio", "body": "🎤"}, "Mensagem de voz"),
        ({"type": "audio", "body": "🎵"}, "Áudio"),
        ({"type": "document", "body": "a.pdf", "content_json": '{"document":{"filename":"a.pdf"}}'},
         "Documento · a.pdf"),
        ({"type": "document", "body": "📄",
          "content_json": json.dumps({"document": {"filename": f"foto{RLO}gpj.exe"}})},
         "Documento · fotogpj.exe"),
        ({"type": "media_placeholder", "body": "📎"}, "Mídia"),
        ({"type": "unknown", "body": ""}, "O conteúdo desta mensagem não está disponível"),
        ({"type": "location", "body": "📍 Rua A"}, "📍 Rua A"),
    ],
)  # fmt: skip
def test_every_kind_of_message_has_a_bubble(fields: dict[str, Any], words: str):
    assert shown_page(shown(**fields)).bubbles[0] == f"Ana Souza{words}14:33"


@pytest.mark.parametrize("kind", sorted(reading.MEDIA_KINDS))
@pytest.mark.parametrize("part", [{}, {"voice": True}])
def test_the_sign_of_media_without_a_word_is_no_caption(kind: str, part: dict[str, Any]):
    sign = kinds.line(kind, {"type": kind, kind: part})

    assert chat(shown(type=kind, body=sign)).endswith(": <Mídia oculta>\n")


def test_a_message_of_which_only_the_state_is_known_was_sent_by_another_system():
    found = shown_page(shown(outbound=True, type="", body="", status="read"))

    assert "Enviada por outro sistema" in found.bubbles[0]


@pytest.mark.parametrize(
    "address",
    ["https://example.org/a?b=1&c=2#d", "http://example.org", "/media/1", "media/1.jpg?x=a:b", "?id=1"],
)
def test_media_are_linked(address: str):
    (link,) = shown_page(shown(type="image", body="📷", media_url=address)).all("a")

    assert link == {"href": address, "rel": "noopener noreferrer"}


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "//example.org/x",
        "\\\\example.org\\x",
        "/\\example.org",
        "https:",
        "https:example.org",
        "blob:https://example.org/1",
        "http://[::1",
        "1:alert",
        "https://example.org/a b",
    ],
)
def test_an_address_that_could_do_more_than_ask_a_server_is_no_link(address: str):
    assert shown_page(shown(type="image", body="📷", media_url=address)).all("a") == []


@given(st.text(), st.text(), st.text())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_text_changes_the_elements_of_a_page(name: str, body: str, target: str):
    def elements(*texts: str) -> list[str]:
        message = {
            **shown(type="image"),
            "body": texts[1],
            "context": {"messageId": texts[2]},
            "mediaUrl": "",
        }
        message["from"] = {"name": texts[0]}
        return [tag for tag, _ in shown_page(message).elements]

    assume(name.strip() and body.strip() and target.strip())

    assert elements(name, body, target) == elements("Ana", body if body in "📷🎥🎤🎵📄🏷️📎" else "oi", "id")


# txt


@pytest.mark.parametrize(
    ("options", "at", "written"),
    [
        (PT, datetime(2026, 1, 2, 17, 5, tzinfo=UTC), "02/01/2026 14:05 - Ana Souza: oi\n"),
        (EN, datetime(2026, 1, 2, 17, 5, tzinfo=UTC), "1/2/26, 2:05 PM - Ana Souza: oi\n"),
        (EN, datetime(2026, 1, 2, 3, 5, tzinfo=UTC), "1/2/26, 12:05 AM - Ana Souza: oi\n"),
        (EN, datetime(2026, 1, 2, 15, 0, tzinfo=UTC), "1/2/26, 12:00 PM - Ana Souza: oi\n"),
    ],
)
def test_a_chat_reads_as_one_of_an_android_phone(options: exporting.Options, at: datetime, written: str):
    assert chat(shown(at=at), options=options) == written


PDF: Final = '{"document":{"filename":"Contrato 1.pdf"}}'


@pytest.mark.parametrize(
    ("fields", "portuguese", "english"),
    [
        ({"body": "um\n\n  dois"}, "um\n\n  dois", "um\n\n  dois"),
        ({"type": "image", "body": "📷"}, "<Mídia oculta>", "<Media omitted>"),
        ({"type": "image", "body": "o bolo"}, "<Mídia oculta>\no bolo", "<Media omitted>\no bolo"),
        ({"type": "document", "body": "Contrato 1.pdf", "content_json": PDF},
         "Contrato 1.pdf (arquivo anexado)", "Contrato 1.pdf (file attached)"),
        ({"type": "document", "body": "assine", "content_json": PDF},
         "Contrato 1.pdf (arquivo anexado)\nassine", "Contrato 1.pdf (file attached)\nassine"),
        ({"body": "às nove", "edited_at": Timestamp(seconds=9)},
         "às nove <Mensagem editada>", "às nove <This message was edited>"),
        ({"body": "", "revoked_at": Timestamp(seconds=9)}, "Mensagem apagada", "This message was deleted"),
        ({"body": "", "revoked_at": Timestamp(seconds=9), "outbound": True},
         "Você apagou esta mensagem", "You deleted this message"),
        ({"type": "unknown", "body": ""}, "Aguardando mensagem. Essa ação pode levar alguns instantes.",
         "Waiting for this message. This may take a while."),
    ],
)  # fmt: skip
def test_a_chat_has_whatsapps_own_words(fields: dict[str, Any], portuguese: str, english: str):
    for options, words in ((PT, portuguese), (EN, english)):
        _, _, said = chat(shown(**fields), options=options).removesuffix("\n").partition(": ")

        assert said == words


@pytest.mark.parametrize(
    ("party", "name"),
    [
        (pb.Party(name="Ana\nSouza\u2028 \x1c Lima"), "Ana Souza Lima"),
        (pb.Party(name=f"{RLO}\u200e", number="5511988887777"), "+5511988887777"),
        (pb.Party(user_id="BR.4711"), "BR.4711"),
        (pb.Party(), "Desconhecido"),
        (pb.Party(name="Ana: Loja"), "Ana:\xa0Loja"),
        (pb.Party(name="x" * 500), "x" * 99 + "…"),
    ],
)
def test_a_name_is_one_line_that_ends_where_the_text_begins(party: pb.Party, name: str):
    assert chat(shown(sender=party)) == f"31/10/2026 14:33 - {name}: oi\n"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("../../etc/a.pdf", ".._.._etc_a.pdf (arquivo anexado)"),
        ("a<b>\n\\c.pdf", "a_b_ _c.pdf (arquivo anexado)"),
        (f"foto{RLO}gpj.exe", "fotogpj.exe (arquivo anexado)"),
        ("sem extensão", "<Mídia oculta>"),
        ("...", "<Mídia oculta>"),
        ("x" * 1_000 + ".pdf", "x" * 196 + ".pdf (arquivo anexado)"),
    ],
)
def test_the_name_of_a_file_is_one_that_a_reader_finds(name: str, written: str):
    content = json.dumps({"document": {"filename": name}})

    assert chat(shown(type="document", body="📄", content_json=content)).endswith(f": {written}\n")


def test_an_exported_chat_reads_back_as_what_was_said():
    minutes = [BEGINNING.replace(second=0) + timedelta(minutes=13 * n) for n in range(9)]
    messages = [
        shown(0, at=minutes[0], body="Bom dia: vocês fazem bolo?"),
        shown(1, at=minutes[1], outbound=True, body="Fazemos!\n\nPara quantas pessoas?"),
        shown(2, at=minutes[2], body="umas vinte", edited_at=stamp(minutes[3])),
        shown(3, at=minutes[3], type="image", body="assim"),
        shown(4, at=minutes[4], outbound=True, type="document", body="Orçamento.pdf",
              content_json='{"document":{"filename":"Orçamento.pdf"}}'),
        shown(5, at=minutes[5], revoked_at=stamp(minutes[6]), body=""),
        shown(6, at=minutes[6], outbound=True, revoked_at=stamp(minutes[7]), body=""),
        shown(7, at=minutes[7], outbound=True, type="", body="", status="read"),
        shown(8, at=minutes[8], type="audio", body="🎤", sender=pb.Party(name="Ana: Loja")),
    ]  # fmt: skip
    expected = [
        ("Ana Souza", "text", "Bom dia: vocês fazem bolo?", None, False),
        ("Loja", "text", "Fazemos!\n\nPara quantas pessoas?", None, False),
        ("Ana Souza", "text", "umas vinte", None, True),
        ("Ana Souza", "media", "assim", None, False),
        ("Loja", "media", "", "Orçamento.pdf", False),
        ("Ana Souza", "deleted", "", None, False),
        ("Loja", "deleted", "", None, False),
        ("Loja", "empty", "", None, False),
        ("Ana: Loja", "media", "", None, False),
    ]

    for options in (PT, EN):
        found = parser.parse(chat(*messages, options=options), zone=SAO_PAULO)

        assert found.platform == "android"
        assert [line.at for line in found.lines] == minutes
        assert [
            (line.author, line.kind, line.text, line.media_name, line.is_edited) for line in found.lines
        ] == expected


# Letters of many scripts, and what separates texts; nothing that WhatsApp's own words are made of.
CARRIED: Final = st.text(
    st.sampled_from("abcdefgh áçõñß ЖшЩ שלום 漢字 😀👍🏽 ,;!?*_~\"'&%$#@=+-/\\|()[]{} \n\u2028"), min_size=1
).filter(lambda text: text.strip() != "" and text.strip(marks.EDGES) == text)
NAMES: Final = st.text(string.ascii_letters + "áçõ .+0123456789:", min_size=1, max_size=40).filter(
    lambda name: name.strip(" :.") == name and not name.startswith(" ") and "  " not in name
)


@given(
    names=st.tuples(NAMES, NAMES),
    said=st.lists(st.tuples(st.booleans(), CARRIED, st.booleans()), min_size=1, max_size=8),
    options=st.sampled_from((PT, EN)),
    minute=st.integers(20_500_000, 42_000_000),
)
def test_the_parser_reads_back_what_the_format_can_carry(
    names: tuple[str, str],
    said: list[tuple[bool, str, bool]],
    options: exporting.Options,
    minute: int,
):
    # A clock that is set back shows an hour twice, and the format does not say which of the two it was.
    zone = ZoneInfo("America/Bogota")
    options = options._replace(time_zone=zone)
    minutes = [datetime.fromtimestamp(60 * minute, UTC) + timedelta(days=n) for n in range(len(said))]
    messages = [
        shown(
            n,
            at=at,
            outbound=is_outbound,
            sender=pb.Party(name=names[is_outbound]),
            body=text,
            **({"edited_at": stamp(at)} if is_edited else {}),
        )
        for n, (at, (is_outbound, text, is_edited)) in enumerate(zip(minutes, said, strict=True))
    ]

    order: parser.DateOrder = "dmy" if options.language == "pt-BR" else "mdy"
    found = parser.parse(chat(*messages, options=options), zone=zone, date_order=order).lines

    assert [(line.author, line.text, line.is_edited, line.kind) for line in found] == [
        (names[is_outbound], text, is_edited, "text") for is_outbound, text, is_edited in said
    ]
    assert [line.at for line in found] == minutes
    assert all(earlier.number < later.number for earlier, later in pairwise(found))


def test_a_pasted_line_is_left_as_it_is():
    pasted = "veja:\n30/10/2026 10:00 - Ana Souza: outra"

    assert chat(shown(body=pasted)) == f"31/10/2026 14:33 - Ana Souza: {pasted}\n"
