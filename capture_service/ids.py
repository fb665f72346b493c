"""Ids of what capture keeps, derived from what they stand for."""

import hashlib
import uuid


def instance_id(phone_number_id: str) -> uuid.UUID:
    """Give the public id of a connected number: the same wherever and whenever it is registered.

    So a ledger replayed into an empty database gives every message the id it had.
    """
    return _uuid8(
        hashlib.blake2b(phone_number_id.encode(), digest_size=16, person=b"recado instance").digest()
    )


def account_event_id(digest: bytes) -> uuid.UUID:
    """Give the id of the account event that these 16 bytes tell from every other."""
    return _uuid8(digest)


def begun_by(batch_id: uuid.UUID, *what: str) -> uuid.UUID:
    """Give the id of what a webhook begins, as a lead or a ticket; `what` tells it from the others.

    A UUIDv7 of the moment at which the webhook came, and the same whenever its ledger row is applied, so
    that a ledger replayed into an empty database gives every lead the id it had. It says nothing of
    what it was made from: nobody knows the batch id who may not know the rest.
    """
    digest = hashlib.blake2b("\n".join(what).encode(), digest_size=8, key=batch_id.bytes).digest()
    # The 62 bits that are random in the batch's own id.
    random = (1 << 62) - 1
    return uuid.UUID(int=batch_id.int & ~random | int.from_bytes(digest) & random)


def conversation_id(lead_id: uuid.UUID, instance_id: int) -> uuid.UUID:
    """Give the id of a lead's exchange with an instance (its internal id)."""
    return begun_by(lead_id, "conversation", str(instance_id))


def merge_id(first: uuid.UUID, second: uuid.UUID) -> uuid.UUID:
    """Give the id under which the merge of these two leads is asked for, however often it is."""
    both = b"".join(sorted((first.bytes, second.bytes)))
    return _uuid8(hashlib.blake2b(both, digest_size=16, person=b"recado merge").digest())


def _uuid8(digest: bytes) -> uuid.UUID:
    octets = bytearray(digest)
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(octets))
