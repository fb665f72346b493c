"""New ids."""

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


def instance_id(phone_number_id: str) -> uuid.UUID:
    """Give the public id of a connected number: the same wherever and whenever it is registered.

    So a ledger replayed into an empty database gives every message the id it had.
    """
    digest = bytearray(
        hashlib.blake2b(phone_number_id.encode(), digest_size=16, person=b"recado instance").digest()
    )
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest))
