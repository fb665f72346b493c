"""A contact's profile: what the Graph API says, and where it is silent what is known already.

The Cloud API has no endpoint for a user's profile or picture; the edge that the product's
requirements name is tried nevertheless, its refusal remembered, and it costs one request a day.
Source: Meta's Cloud API reference, which lists no such endpoint (September 2026).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import msgspec

EDGE: Final = "contacts"

_ACTIVE_WITHIN: Final = timedelta(days=30)
_NAME_CHARS_MAX: Final = 256
_URL_CHARS_MAX: Final = 2048


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    profile_picture_url: str = ""
    is_verified: bool | None = None
    last_seen_at: datetime | None = None
    status: str = ""
    sources: dict[str, str] = {}
    """Of each field present: "webhook" or "graph"."""


def known(*, name: str, last_message_at: datetime | None, now: datetime) -> Profile:
    """Give the profile that webhooks alone make."""
    sources: dict[str, str] = {}
    status = ""
    if name:
        sources["name"] = "webhook"
    if last_message_at:
        status = "ACTIVE" if now - last_message_at <= _ACTIVE_WITHIN else "INACTIVE"
        sources["last_seen_at"] = sources["status"] = "webhook"
    return Profile(name=name, last_seen_at=last_message_at, status=status, sources=sources)


def find_contact(body: dict[str, Any], wa_id: str) -> dict[str, Any] | None:
    """Give what an answer says of this person: {} when it knows nobody, None when it is no such answer.

    The edge is not documented; a list of contacts is taken as the Graph API and the On-Premises API
    write one.
    """
    listed: object = body.get("data", body.get("contacts"))
    if not isinstance(listed, list):
        return None
    for contact in cast("list[object]", listed):
        if isinstance(contact, dict):
            found = cast("dict[str, Any]", contact)
            if found.get("wa_id", wa_id) == wa_id:
                nested: object = found.get("profile")
                return {**found, **cast("dict[str, Any]", nested)} if isinstance(nested, dict) else found
    return {}


def enrich(profile: Profile, contact: dict[str, Any]) -> Profile:
    """Give the profile with what the Graph API said of the contact; what is malformed is left out."""
    said: dict[str, Any] = {
        "name": _text(contact.get("name"), _NAME_CHARS_MAX),
        "profile_picture_url": _url(_first(contact, "profile_picture_url", "profilePictureUrl")),
        "is_verified": _flag(_first(contact, "is_verified", "verified")),
        "last_seen_at": _moment(_first(contact, "last_seen", "lastSeen")),
    }
    said = {field: value for field, value in said.items() if value is not None}
    if not said:
        return profile
    sources = {**profile.sources, **dict.fromkeys(said, "graph")}
    return msgspec.structs.replace(profile, **said, sources=sources)


def _first(contact: dict[str, Any], *keys: str) -> Any:
    return next((contact[key] for key in keys if key in contact), None)


def _text(value: object, chars_max: int) -> str | None:
    text = value.replace("\0", "").strip() if isinstance(value, str) else ""
    # Half a surrogate pair is valid JSON and fits into no protobuf string.
    return text.encode(errors="replace").decode()[:chars_max] or None


def _url(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > _URL_CHARS_MAX:
        return None
    # It ends up in a page: javascript: and the like must not.
    is_fit = value.startswith("https://") and value.isascii() and value.isprintable() and " " not in value
    return value if is_fit else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _moment(value: object) -> datetime | None:
    """Read a Unix time (as a number or its digits, as webhooks write it) or RFC 3339."""
    try:
        if isinstance(value, str) and not value.isdigit():
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else None
        if isinstance(value, int | str) and not isinstance(value, bool):
            return datetime.fromtimestamp(int(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
