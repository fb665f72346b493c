"""However a conversation is known and exported, importing it gives each of its messages once."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from hypothesis import given, strategies as st

from capture_service import fold, imports, kinds, store
from capture_service.chat_export import matching, parser
from capture_service.chat_export.messages import Place
from protos import ids
from tests.capture_service.test_chat_export_parser import LRM, SAO_PAULO

BUSINESS: Final = "Padaria: Aurora"
PLACE: Final = Place(
    tenant_id=1,
    instance_id=1,
    instance_public_id=uuid.UUID(int=1),
    lead_id=uuid.UUID(int=2),
    batch_id=uuid.UUID(int=3),
    is_group=False,
)
NINE: Final = datetime(2026, 9, 12, 12, tzinfo=UTC)
LINK: Final = "https://maps.google.com/?q=-23.5,-46.6"

Shape: TypeAlias = Literal["android", "android with media", "iphone", "iphone with media"]
Route: TypeAlias = Literal["nothing", "hollow", "all"]
"""How much the API tells of a message."""
Kind: TypeAlias = Literal["text", "image", "audio", "document", "location", "order", "poll"]
Fate: TypeAlias = Literal["", "deleted", "edited"]


class Sent(NamedTuple):
    """One message of the conversation."""

    number: int
    at: datetime
    is_ours: bool
    kind: Kind
    words: str = ""
    fate: Fate = ""
    told_of_fate: bool = False
    before: Route = "nothing"
    """The chat is imported."""
    after: Route = "nothing"

    @property
    def side(self) -> tuple[datetime, bool]:
        return self.at.replace(second=0), self.is_ours


# --- what a phone exports


def exported(conversation: Sequence[Sent], shape: Shape, *, is_early: bool) -> str:
    """Export the chat; early, nothing had been deleted or edited yet."""
    is_iphone = shape.startswith("iphone")
    form = "[%d/%m/%Y, %H:%M:%S] " if is_iphone else "%d/%m/%Y %H:%M - "
    end = "\r\n" if is_iphone else "\n"
    # Both have spoken on other days, so that the file has both of them and shows how it writes dates.
    yesterday = NINE - timedelta(days=1)
    lines = [f"{yesterday:{form}}Ana: bem-vindos", f"{yesterday:{form}}{BUSINESS}: obrigada"]
    for sent in conversation:
        said = _written(sent, shape, is_early=is_early)
        lines.append(
            f"{sent.at.astimezone(SAO_PAULO).strftime(form)}{BUSINESS if sent.is_ours else 'Ana'}: {said}"
        )
    return end.join([*lines, ""])


def _written(sent: Sent, shape: Shape, *, is_early: bool) -> str:
    mark = LRM if shape.startswith("iphone") else ""
    if sent.fate == "deleted" and not is_early:
        return f"{mark}Mensagem apagada"
    words = sent.words
    edited = ""
    if sent.fate == "edited" and not is_early:
        words, edited = f"{words} editado", f" {mark}<Mensagem editada>"
    match sent.kind:
        case "text":
            return words + edited
        case "location":
            return f"{LRM}Localização: {LINK}" if mark else f"localização: {LINK}"
        case "order":
            return f"{LRM}Waiting for this message. This may take a while." if mark else "null"
        case "poll":
            return f"{mark}ENQUETE:\nPizza?\n{mark}OPÇÃO: sim (1 voto)"
        case _:
            return _file(sent, shape, words) + edited


def _file(sent: Sent, shape: Shape, words: str) -> str:
    number = f"{sent.number:08}"
    name = {
        "image": f"IMG-20260912-WA{sent.number:04}.jpg",
        "audio": f"PTT-20260912-WA{sent.number:04}.opus",
        "document": "contrato.pdf",
    }[sent.kind]
    caption = f"\n{words}" if words else ""
    title = f"contrato.pdf \u2022 {LRM}3 páginas " if sent.kind == "document" and not words else ""
    omitted = {"image": "imagem ocultada", "audio": "áudio ocultado", "document": "documento omitido"}
    match shape:
        case "android":
            return f"<Mídia oculta>{caption}"
        case "android with media":
            return f"{name} (arquivo anexado){caption}"
        case "iphone":
            return f"{words} {title}{LRM}{omitted[sent.kind]}".lstrip(" ")
        case "iphone with media":
            return f"{words} {title}{LRM}<anexado: {number}-{name}>".lstrip(" ")


# --- what the API tells


def told(sent: Sent, route: Route) -> fold.Message:
    kind = "unsupported" if sent.kind == "poll" else sent.kind
    part: dict[str, Any] = {"caption": sent.words} if sent.words else {}
    if sent.kind == "document":
        part["filename"] = "contrato.pdf"
    body: str | None = sent.words if kind == "text" else kinds.line(kind, {kind: part})
    source = fold.ECHO if sent.is_ours else fold.WEBHOOK
    if route == "hollow" and kind != "unsupported":
        source, part = fold.HISTORY, {}
        kind = "unsupported" if kind == "text" else "media_placeholder"
        body = kinds.line(kind, {})
    wamid = f"w{sent.number}"
    act: dict[str, Any] = {"at": int(sent.at.timestamp()) + 60, "wamid": f"a{sent.number}"}
    edit = {**act, "type": "text", "body": f"{sent.words} editado", "content": {}}
    acts = {"revokes": [act]} if sent.fate == "deleted" else {"edits": [edit]}
    return fold.Message(
        tenant_id=1,
        instance_id=1,
        id=ids.message_id(PLACE.instance_public_id, wamid),
        wamid=wamid,
        batch_id=uuid.UUID(int=3),
        sources=source,
        sent_at=sent.at,
        type=kind,
        body=body,
        content=fold.document({kind: part}) if part else None,
        content_rank=fold.content_rank(source, kind),
        direction=fold.OUTBOUND if sent.is_ours else fold.INBOUND,
        lead_id=PLACE.lead_id,
        party_rank=fold.PARTY_RANKS[source],
        mentions=fold.document(acts) if sent.fate and sent.told_of_fate and route == "all" else None,
    )


class Lead:
    """What is stored of one conversation."""

    def __init__(self) -> None:
        self._rows: dict[uuid.UUID, fold.Message] = {}

    def hear(self, message: fold.Message) -> None:
        row = self._rows.get(message.id)
        self._rows[message.id] = message if row is None else fold.merge(row, message)

    def bring(self, text: str, *, is_compared: bool = False) -> None:
        """Import a chat, or compare it once more."""
        chat = parser.parse(text, zone=SAO_PAULO, date_order="dmy", business=BUSINESS)
        plan = matching.plan(chat, business=BUSINESS, known=self.known(), place=PLACE)
        for message in () if is_compared else plan.messages:
            self._rows.setdefault(message.id, message)
        for message in plan.changed:
            self._rows[message.id] = imports._said_of(self._rows[message.id], message)
        for id in plan.doubled:
            assert self._rows[id].wamid.startswith("export.")
            self._rows[id] = msgspec.structs.replace(self._rows[id], lead_id=None)

    def known(self) -> list[matching.Known]:
        """Give what is in the lead's history, but for the other day."""
        rows = [row for row in self._rows.values() if row.lead_id]
        return [
            imports._known(
                store.KnownMessage(
                    id=row.id,
                    wamid=row.wamid,
                    sent_at=row.sent_at,
                    sources=row.sources,
                    direction=row.direction,
                    type=row.type,
                    body=row.body,
                    content=row.content if row.type in ("interactive", "document") else None,
                    content_rank=row.content_rank,
                    mentions=row.mentions,
                    sender=row.sender,
                    status=row.status,
                    is_sent=False,
                )
            )
            for row in sorted(rows, key=lambda row: (row.sent_at, row.id))
        ]

    def of_the_day(self) -> list[matching.Known]:
        return [message for message in self.known() if message.sent_at >= NINE]


# --- conversations


KINDS: Final[list[Kind]] = ["text", "text", "image", "audio", "document", "location", "order", "poll"]
FATES: Final[list[Fate]] = ["", "", "deleted", "edited"]
ROUTES: Final[list[Route]] = ["nothing", "hollow", "all"]
TEXTS: Final = ["oi", "ok", "Obs: oi", "até logo: tchau"]
CAPTIONS: Final = ["", "legenda", "oi"]


@st.composite
def conversations(draw: st.DrawFn) -> list[Sent]:
    fated: set[tuple[datetime, bool]] = set()
    conversation: list[Sent] = []
    for number, second in enumerate(sorted(draw(st.lists(st.integers(0, 179), min_size=1, max_size=8)))):
        kind = draw(st.sampled_from(KINDS))
        words = {"text": TEXTS, "image": CAPTIONS, "document": CAPTIONS}.get(kind, [""])
        sent = Sent(
            number,
            NINE + timedelta(seconds=second),
            draw(st.booleans()),
            kind,
            draw(st.sampled_from(words)),
            draw(st.sampled_from(FATES)) if kind == "text" else "",
            draw(st.booleans()),
            draw(st.sampled_from(ROUTES)),
            draw(st.sampled_from(ROUTES)),
        )
        # Of several that changed in one minute, nobody can say which became which.
        if sent.side in fated:
            sent = sent._replace(fate="")
        if sent.fate:
            fated.add(sent.side)
        if sent.fate or kind in ("location", "order"):
            sent = sent._replace(before=_full(sent.before), after=_full(sent.after))
        conversation.append(sent)
    # Nor can anybody of messages without words, until the rest of their minute is known.
    hollow = {sent.side for sent in conversation if _is_hollow(sent)}
    return [
        sent._replace(after="all") if sent.side in hollow and _is_unknown(sent) else sent
        for sent in conversation
    ]


def _full(route: Route) -> Route:
    return "all" if route == "hollow" else route


def _is_hollow(sent: Sent) -> bool:
    routes = {sent.before, sent.after}
    return "hollow" in routes or (sent.kind == "poll" and routes != {"nothing"})


def _is_unknown(sent: Sent) -> bool:
    return {sent.before, sent.after} == {"nothing"}


_SHAPES: Final[list[Shape]] = ["android", "android with media", "iphone", "iphone with media"]
SHAPES: Final = st.sampled_from(_SHAPES)


@given(conversations(), st.lists(SHAPES, max_size=2), st.lists(SHAPES, min_size=1, max_size=3))
def test_every_message_of_a_conversation_is_there_once(
    conversation: list[Sent], early: list[Shape], late: list[Shape]
) -> None:
    lead = Lead()
    files = [exported(conversation, shape, is_early=True) for shape in early]
    files += [exported(conversation, shape, is_early=False) for shape in late]

    for sent in conversation:
        if sent.before != "nothing":
            lead.hear(told(sent, sent.before))
    for file in files:
        lead.bring(file)
    for sent in conversation:
        if sent.after != "nothing":
            lead.hear(told(sent, sent.after))
    for file in files:
        lead.bring(file, is_compared=True)
    assert len(lead.of_the_day()) <= len(conversation)
    for file in files[len(early) :] * 2:
        lead.bring(file)
        assert len(lead.of_the_day()) == len(conversation)

    said = {text for message in lead.of_the_day() for text in message.texts}
    assert {sent.words for sent in conversation if sent.words and not sent.fate} <= said


@given(conversations(), st.lists(SHAPES, min_size=1, max_size=3))
def test_what_is_known_in_part_is_not_doubled_by_a_chat(
    conversation: list[Sent], shapes: list[Shape]
) -> None:
    lead = Lead()
    for sent in conversation:
        if _full(sent.before) == "all" and sent.kind != "poll":
            lead.hear(told(sent, "all"))

    for shape in shapes * 2:
        lead.bring(exported(conversation, shape, is_early=False))

        assert len(lead.of_the_day()) == len(conversation)
