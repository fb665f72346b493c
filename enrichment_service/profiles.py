"""A contact's profile: what the Graph API says, and where it is silent what is known already.

The Cloud API has no endpoint for a user's profile or picture; the edge that the product's
requirements name is tried nevertheless, its refusal remembered, and it costs one request a day.
Source: Meta's Cloud API reference, which lists no such endpoint (September 2026).
"""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

ENDPOINT: Final = "contacts"
REFUSED_FOR: Final = timedelta(days=1)
_ACTIVE_WITHIN: Final = timedelta(days=30)


class Profile(msgspec.Struct, kw_only=True):
    name: str = ""
    picture_url: str = ""
    is_verified: bool | None = None
    last_seen_at: datetime | None = None
    status: str = ""
    sources: dict[str, str] = {}


def known(*, name: str, last_message_at: datetime | None, now: datetime) -> Profile:
    """Give the profile that webhooks alone make."""
    profile = Profile()
    if name:
        profile.name = name
        profile.sources["name"] = "webhook"
    if last_message_at:
        profile.last_seen_at = last_message_at
        profile.status = "ACTIVE" if now - last_message_at <= _ACTIVE_WITHIN else "INACTIVE"
        profile.sources["last_seen_at"] = profile.sources["status"] = "webhook"
    return profile


def enriched(profile: Profile, answer: dict[str, Any]) -> bool:
    """Add what the Graph API answered; False when there is nothing usable in it."""
    contacts: Any = answer.get("contacts", answer.get("data"))
    contact: Any = contacts[0] if isinstance(contacts, list) and contacts else None  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(contact, dict):
        return False
    found: dict[str, Any] = contact.get("profile") or contact  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(found, dict):
        return False
    for key, field in (("name", "name"), ("profile_picture_url", "picture_url")):
        value = found.get(key)
        if isinstance(value, str) and value:
            setattr(profile, field, value)
            profile.sources[key] = "graph"
    if isinstance(found.get("verified"), bool):
        profile.is_verified = found["verified"]
        profile.sources["is_verified"] = "graph"
    return any(source == "graph" for source in profile.sources.values())
