"""The pieces of a webhook as Meta writes them: wamids, envelopes, escapes, signatures.

Source: Meta, "Webhooks reference" of the WhatsApp Business Platform and "Business-scoped user IDs",
2026; the anatomy of a wamid is as measured on published samples, Meta does not document it.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, TypeAlias

from recado.sandbox.people import Business, Person

Object: TypeAlias = dict[str, object]

SIGNATURE_HEADER: Final = "X-Hub-Signature-256"
_FROM_BUSINESS: Final = 0x11
_FROM_USER: Final = 0x12


def seeded(*seed: object) -> Random:
    """Give a source of choices that is the same for the same seed, whatever the Python."""
    return Random(" ".join(map(str, seed)))  # noqa: S311 - it makes up small talk, nothing secret


def signature(app_secret: bytes, body: bytes) -> str:
    """Give the value of X-Hub-Signature-256 for this body."""
    return "sha256=" + hmac.new(app_secret, body, hashlib.sha256).hexdigest()


def encode(value: object) -> bytes:
    """Write JSON with Meta's escapes: "/" as "\\/" and everything beyond ASCII as "\\uXXXX"."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()


def wamid(number: str, stanza: str, *, is_from_business: bool) -> str:
    """Give a message id that contains the user's number and a stanza id, as Meta's do."""
    sender = _FROM_BUSINESS if is_from_business else _FROM_USER
    packed = (
        bytes((0x1C, 0x18, len(number)))
        + number.encode()
        + bytes((0x15, 0x02, 0x00, sender, 0x18, len(stanza)))
        + stanza.encode()
        + b"\x00"
    )
    return "wamid." + base64.b64encode(packed).decode()


def new_wamid(rng: Random, person: Person, *, is_from_business: bool) -> str:
    # What the id of somebody without a visible number contains is not known; digits of the user id will do.
    number = person.wa_id or person.user_id.partition(".")[2]
    return wamid(number, f"3A{rng.getrandbits(72):018X}", is_from_business=is_from_business)


def contact(person: Person) -> Object:
    """Give the entry of `contacts[]` that accompanies messages and statuses."""
    profile: Object = {"name": person.name}
    if person.username:
        profile["username"] = person.username
    entry: Object = {"profile": profile}
    if person.wa_id:
        entry["wa_id"] = person.wa_id
    return {**entry, "user_id": person.user_id}


def inbound(
    person: Person, *, wamid: str, timestamp_s: int, kind: str, content: Mapping[str, object]
) -> Object:
    """Give an item of `messages[]`; `content` holds the key of its type and perhaps `context`."""
    message: Object = {"from": person.wa_id} if person.wa_id else {}
    return {
        **message,
        "from_user_id": person.user_id,
        "id": wamid,
        "timestamp": str(timestamp_s),
        "type": kind,
        **content,
    }


def echo(
    business: Business,
    person: Person,
    *,
    wamid: str,
    timestamp_s: int,
    kind: str,
    content: Mapping[str, object],
) -> Object:
    """Give an item of `message_echoes[]`: what the business wrote in the app on its phone."""
    message: Object = {"from": business.display_phone_number}
    if person.wa_id:
        message["to"] = person.wa_id
    return {
        **message,
        "to_user_id": person.user_id,
        "id": wamid,
        "timestamp": str(timestamp_s),
        "type": kind,
        **content,
    }


def status(
    person: Person, *, wamid: str, timestamp_s: int, state: str, details: Mapping[str, object]
) -> Object:
    """Give an item of `statuses[]`; `details` may hold pricing, errors and the like."""
    item: Object = {"id": wamid, "status": state, "timestamp": str(timestamp_s)}
    if person.wa_id:
        item["recipient_id"] = person.wa_id
    if state != "failed":
        item["recipient_user_id"] = person.user_id
    return {**item, **details}


def value(business: Business, *, kind: str, contacts: Sequence[Object], items: Sequence[Object]) -> Object:
    """Give the `value` of a change; `kind` is messages, message_echoes or statuses."""
    told: Object = {
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": business.display_phone_number,
            "phone_number_id": business.phone_number_id,
        },
    }
    if contacts:
        told["contacts"] = list(contacts)
    return {**told, kind: list(items)}


def field_of(kind: str) -> str:
    """Give the `field` under which a value of this kind comes."""
    return "smb_message_echoes" if kind == "message_echoes" else "messages"


def envelope(entries: Sequence[tuple[str, Sequence[Object]]], *, is_object_last: bool = False) -> Object:
    """Give a webhook: per entry the WABA id and its changes. Meta puts `object` first or last."""
    listed = [{"id": waba_id, "changes": list(changes)} for waba_id, changes in entries]
    name = "whatsapp_business_account"
    return {"entry": listed, "object": name} if is_object_last else {"object": name, "entry": listed}


def media(rng: Random, *, mime_type: str, **more: object) -> Object:
    """Give the object of a media message. The address in it answers nobody."""
    media_id = str(rng.randrange(10**15, 10**16))
    digest = base64.b64encode(rng.randbytes(32)).decode()
    return {
        **more,
        "mime_type": mime_type,
        "sha256": digest,
        "id": media_id,
        "url": f"https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid={media_id}&hash={rng.getrandbits(64):x}",
    }
