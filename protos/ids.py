"""Ids that every process makes the same way."""

import hashlib
import os
import uuid
from datetime import datetime


def uuid7(at: datetime) -> uuid.UUID:
    """Make a UUIDv7 of this moment: 48 bits of milliseconds, then randomness. Source: RFC 9562."""
    milliseconds = int(at.timestamp() * 1000)
    random = int.from_bytes(os.urandom(10))
    high, low = random >> 62 & 0xFFF, random & (1 << 62) - 1
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def message_id(instance_public_id: uuid.UUID, wamid: str) -> uuid.UUID:
    """Give the id of the message that this instance knows by this wamid: a UUIDv8.

    The same message gets the same id whatever the route and the order it came in, so a reply links
    to its target before the target has arrived. The id says nothing about the wamid, which contains
    a phone number.
    """
    digest = bytearray(
        hashlib.blake2b(wamid.encode(errors="replace"), digest_size=16, key=instance_public_id.bytes).digest()
    )
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest))
