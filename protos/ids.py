"""Ids that every process derives the same way."""

import hashlib
import uuid


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
