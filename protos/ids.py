"""Ids that every process makes the same way."""

import hashlib
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_RANDOM_BITS: Final = 62


def uuid7(at: datetime) -> uuid.UUID:
    """Make a UUIDv7 of this moment: milliseconds, their fraction in 12 bits, 62 random bits.

    With the fraction, ids are in the order of microseconds. Source: RFC 9562, sections 5.7 and 6.2,
    method 3.
    """
    milliseconds, microseconds = divmod(at.microsecond, 1000)
    milliseconds += int(at.timestamp()) * 1000
    # Rounded up, so that `moment_of` gives the microsecond back.
    fraction = -(-microseconds * 4096 // 1000)
    random = int.from_bytes(os.urandom(8)) >> 64 - _RANDOM_BITS
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << _RANDOM_BITS | random)


def moment_of(id: uuid.UUID) -> datetime:
    """Tell the moment of which `uuid7` made an id, to the microsecond."""
    milliseconds, fraction = id.int >> 80, id.int >> 64 & 0xFFF
    return _EPOCH + _MICROSECOND * (milliseconds * 1000 + fraction * 1000 // 4096)


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
