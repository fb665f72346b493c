"""The ledger's bytes: how a webhook is kept, opened again, and divided among those it concerns."""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib import resources
from typing import Any, Final, TypeVar, cast

import msgspec
import zstandard

# Raised when a newer parser understands something that an older one did not: kept with every row, so that
# `recado replay` can find the rows that would gain, and with every message, so that its reading counts.
PARSER_VERSION: Final = 4

NO_DICTIONARY: Final = 0
# Dictionaries are never changed or removed: old rows need theirs. A better one gets the next number.
DICTIONARIES: Final[Mapping[int, str]] = {1: "webhooks-1.dict"}
CURRENT_DICTIONARY: Final = 1
_LEVEL: Final = 3

Owner = TypeVar("Owner", bound=Hashable)


class _Codecs(threading.local):
    """Compressors are not safe to share between threads, and costly to make for each webhook."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(
            level=_LEVEL,
            dict_data=_dictionary(CURRENT_DICTIONARY),
            write_checksum=False,
            write_content_size=True,
            write_dict_id=False,
        )
        self.decompressors: dict[int, zstandard.ZstdDecompressor] = {}


def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    data = resources.files("capture_service").joinpath("dictionaries", DICTIONARIES[number]).read_bytes()
    dictionary = zstandard.ZstdCompressionDict(data)
    dictionary.precompute_compress(level=_LEVEL)  # pyright: ignore[reportUnknownMemberType]
    return dictionary


_codecs = _Codecs()


def compress(body: bytes) -> tuple[int, bytes]:
    """Give the dictionary's number and the compressed body."""
    return CURRENT_DICTIONARY, _codecs.compressor.compress(body)


def decompress(dictionary: int, data: bytes) -> bytes:
    """Give back the body byte for byte."""
    decompressor = _codecs.decompressors.get(dictionary)
    if decompressor is None:
        decompressor = _codecs.decompressors[dictionary] = (
            zstandard.ZstdDecompressor()
            if dictionary == NO_DICTIONARY
            else zstandard.ZstdDecompressor(dict_data=_dictionary(dictionary))
        )
    return decompressor.decompress(data)


def divide(body: bytes, owner_of: Callable[[int, int], Owner]) -> dict[Owner, bytes]:
    """Divide a webhook into one per owner, in the order in which the owners first appear.

    `owner_of(entry, change)` names the owner by the two indices. Every change keeps its bytes; keys
    beside `changes` are repeated in each part. An entry without changes, or that is none, goes whole to
    the owner of its first one. `body` must be readable: see payload.readable.
    """
    envelope = _opened(body)
    entries = msgspec.json.decode(envelope["entry"], type=list[msgspec.Raw])
    parts: dict[Owner, list[bytes]] = {}
    for entry_index, raw_entry in enumerate(entries):
        try:
            entry = _opened(raw_entry)
            changes = msgspec.json.decode(entry["changes"], type=list[msgspec.Raw])
        except (msgspec.ValidationError, KeyError):
            changes = entry = None
        if not changes or entry is None:
            parts.setdefault(owner_of(entry_index, 0), []).append(bytes(raw_entry))
            continue
        shares: dict[Owner, list[bytes]] = {}
        for change_index, change in enumerate(changes):
            shares.setdefault(owner_of(entry_index, change_index), []).append(bytes(change))
        for owner, share in shares.items():
            parts.setdefault(owner, []).append(_with(entry, "changes", share))
    return {owner: _with(envelope, "entry", share) for owner, share in parts.items()}


def _opened(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    return cast("dict[str, Any]", msgspec.json.decode(raw, type=dict[str, msgspec.Raw]))


def _with(holder: Mapping[str, msgspec.Raw], key: str, items: Sequence[bytes]) -> bytes:
    array = b"[" + b",".join(items) + b"]"
    members = (
        msgspec.json.encode(name) + b":" + (array if name == key else bytes(value))
        for name, value in holder.items()
    )
    return b"{" + b",".join(members) + b"}"
