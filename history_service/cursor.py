"""Cursors: where a page ended, bound to the question it answered.

A cursor is opaque to callers, not a secret: access is checked anew with every page. The checksum
catches damage, the digest a cursor that is used with another question.
"""

import base64
import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CHECKSUM_BYTES: Final = 6
_DIGEST_BYTES: Final = 8
_COUNT_MAX: Final = 2**62


class Bad(Exception):
    """Damaged, or of another question."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a page, and the count that the first page found."""

    microseconds: int | None
    """Since 1970; None for a row without a time, which sorts last."""
    id: str
    total: Annotated[int, msgspec.Meta(ge=0, le=_COUNT_MAX)] | None = None

    @classmethod
    def at(cls, moment: datetime | None, id: uuid.UUID, *, total: int | None = None) -> "Position":
        elapsed = (moment - _EPOCH) // timedelta(microseconds=1) if moment else None
        return cls(elapsed, id.hex, total)

    @property
    def moment(self) -> datetime | None:
        return None if self.microseconds is None else _EPOCH + timedelta(microseconds=self.microseconds)

    @property
    def row_id(self) -> uuid.UUID:
        return uuid.UUID(hex=self.id)


def write(position: Position, *question: Any) -> str:
    """Give the cursor for the page after `position`; `question` is all that decides what is listed."""
    content = _digest(question) + msgspec.json.encode(position)
    return _written(_checksum(content) + content)


def read(cursor: str, *question: Any) -> Position:
    """Give the position back. Raises Bad."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        # The decoder passes over strange characters and over bits that the last one has to spare.
        if _written(raw) != cursor:
            raise Bad
        checksum, content = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
        if checksum != _checksum(content) or content[:_DIGEST_BYTES] != _digest(question):
            raise Bad
        position = msgspec.json.decode(content[_DIGEST_BYTES:], type=Position)
        # Both must be readable before anybody relies on it.
        _ = position.moment, position.row_id
    except (ValueError, OverflowError, msgspec.MsgspecError):
        raise Bad from None
    return position


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES, person=b"recado cursor").digest()


def _digest(question: tuple[Any, ...]) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(question), digest_size=_DIGEST_BYTES).digest()
