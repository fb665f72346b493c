"""The kinds of messages: what a person reads of each, and how each is kept.

One table, from which `docs/wire.md` is written as well. The line of a kind must be readable in any
language, so what is not the sender's own words is a sign, not a word. Source of the shapes: Meta,
"messages webhook reference", one page per type.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, cast

Object: TypeAlias = dict[str, Any]

# Messages about another message: they are shown on that one, and not in the conversation.
ACTS: Final = frozenset({"reaction", "edit", "revoke"})

_CONTACTS_SHOWN: Final = 5
_ITEMS_SHOWN: Final = 10


class Kind(NamedTuple):
    line: Callable[[Any], str | None]
    """Reads the part of a message that bears the kind's name; None when there is nothing to read."""
    kept: str
    """Where it is found in the API, for the documentation."""


def line(kind: str, message: Object) -> str | None:
    """Give the line by which a list or an export shows a message; None only for an empty text."""
    part = message.get(kind)
    known = KINDS.get(kind)
    if known is None:
        return f"❔ {kind}"
    found = known.line(part if part is not None else message)
    # Why there is nothing to show stands beside the part.
    return _errors(message) if kind == "unsupported" and found == _errors(None) else found


def _text_at(holder: Any, *path: str) -> str | None:
    for key in path:
        holder = cast("Object", holder).get(key) if isinstance(holder, dict) else None
    return holder if isinstance(holder, str) and holder.strip() else None


def _objects(value: Any) -> list[Object]:
    return (
        [item for item in cast("list[Any]", value) if isinstance(item, dict)]
        if isinstance(value, list)
        else []
    )


def _sign(sign: str) -> Callable[[Any], str]:
    def read(part: Any) -> str:
        return sign

    return read


def _emoji(part: Any) -> str | None:
    return _text_at(part, "emoji")


def _text(part: Any) -> str | None:
    return _text_at(part, "body")


def _captioned(sign: str, *names: str) -> Callable[[Any], str]:
    def read(part: Any) -> str:
        return next((found for name in ("caption", *names) if (found := _text_at(part, name))), sign)

    return read


def _audio(part: Any) -> str:
    is_voice = isinstance(part, dict) and cast("Object", part).get("voice") is True
    return "🎤" if is_voice else "🎵"


def _location(part: Any) -> str:
    named = [found for key in ("name", "address") if (found := _text_at(part, key))]
    if named:
        return "📍 " + ", ".join(named)
    place = cast("Object", part) if isinstance(part, dict) else {}
    latitude, longitude = place.get("latitude"), place.get("longitude")
    return "📍" if latitude is None or longitude is None else f"📍 {latitude}, {longitude}"


def _contacts(part: Any) -> str:
    cards: list[str] = []
    for card in _objects(part)[:_CONTACTS_SHOWN]:
        name = _text_at(card, "name", "formatted_name") or _text_at(card, "name", "first_name")
        phones = _objects(card.get("phones"))
        number = next(
            (found for key in ("phone", "wa_id") for phone in phones if (found := _text_at(phone, key))), None
        )
        cards.append(f"{name} ({number})" if name and number else name or number or "")
    return "👤 " + ", ".join(filter(None, cards)) if any(cards) else "👤"


def _interactive(part: Any) -> str:
    for path in (
        ("button_reply", "title"),
        ("list_reply", "title"),
        ("button_reply", "id"),
        ("list_reply", "id"),
    ):
        found = _text_at(part, *path)
        if found:
            return found
    flow = _text_at(part, "nfm_reply", "body") or _text_at(part, "nfm_reply", "name")
    if flow:
        return f"📋 {flow}"
    answer = _text_at(part, "call_permission_reply", "response")
    if answer:
        return "📞 ✓" if answer == "accept" else "📞 ✗"
    return "🔘"


def _button(part: Any) -> str:
    return _text_at(part, "text") or _text_at(part, "payload") or "🔘"


def _order(part: Any) -> str:
    note = _text_at(part, "text")
    items: list[str] = []
    order = cast("Object", part) if isinstance(part, dict) else {}
    for item in _objects(order.get("product_items"))[:_ITEMS_SHOWN]:
        items.append(f"{item.get('quantity', 1)} x {item.get('product_retailer_id', '?')}")
    listed = "🛒 " + ", ".join(items) if items else "🛒"
    return f"{listed}: {note}" if note else listed


def _system(part: Any) -> str:
    return _text_at(part, "body") or "⚙️"


def _errors(part: Any) -> str:
    """What could not be shown says so itself; `part` is the message where the kind has no part."""
    found = cast("Object", part).get("errors") if isinstance(part, dict) else part
    for error in _objects(found):
        told = (
            _text_at(error, "error_data", "details") or _text_at(error, "title") or _text_at(error, "message")
        )
        if told:
            return f"⚠️ {told}"
    return "⚠️"


def _unsupported(part: Any) -> str:
    what = _text_at(part, "type")
    return f"⚠️ {what}" if what and "unsupported" not in what else _errors(part)


def _edit(part: Any) -> str | None:
    edited = cast("Object", part).get("message") if isinstance(part, dict) else None
    kind = _text_at(edited, "type")
    return line(kind, cast("Object", edited)) if kind else "✏️"


KINDS: Final[Mapping[str, Kind]] = {
    "text": Kind(_text, "`body`"),
    "image": Kind(_captioned("📷"), "caption in `body`, `content.image`"),
    "video": Kind(_captioned("🎥"), "caption in `body`, `content.video`"),
    "audio": Kind(_audio, "`content.audio`; `voice: true` is a voice note"),
    "document": Kind(_captioned("📄", "filename"), "caption or file name in `body`, `content.document`"),
    "sticker": Kind(_sign("🏷️"), "`content.sticker`"),
    "location": Kind(_location, "name, address or coordinates in `body`, `content.location`"),
    "contacts": Kind(_contacts, "names and numbers in `body`, `content.contacts`"),
    "interactive": Kind(_interactive, "what was chosen in `body`, `content.interactive`"),
    "button": Kind(_button, "the button's text in `body`, `content.button`"),
    "order": Kind(_order, "items and note in `body`, `content.order`"),
    "reaction": Kind(_emoji, "`reactions` of the message it points to"),
    "edit": Kind(_edit, "`body`, `editedAt` and `revisions` of the message it points to"),
    "revoke": Kind(_sign("🚫"), "`revokedAt` of the message it points to, which loses its body"),
    "system": Kind(_system, "`body`, `content.system`; a new number or user id stays one lead"),
    "unsupported": Kind(_unsupported, "`errors`, replaced by the content when it comes after all"),
    "unknown": Kind(_errors, "`errors`, replaced by the content when it comes after all"),
    "errors": Kind(_errors, "`errors`; alone it makes no conversation"),
    "media_placeholder": Kind(_sign("📎"), "replaced by the media when it comes"),
    "request_welcome": Kind(_sign("👋"), "`type`"),
    "call": Kind(_sign("📞"), "`content.calls`, one item per event"),
}
