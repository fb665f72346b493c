"""One message a line, as the API shows it."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from gateway.exporting.document import Header, Options, Shown, in_chunks

_encoder: Final = msgspec.json.Encoder()


def write(header: Header, messages: Iterable[Shown], options: Options) -> Iterator[bytes]:
    """Write JSON Lines: UTF-8, a LF behind every message, nothing but messages."""
    return in_chunks(_line(shown) for shown in messages)


def _line(shown: Shown) -> bytes:
    line = _encoder.encode(shown)
    # A document that is passed on as it is may be laid out on several lines; inside its strings a line
    # break is always written as an escape.
    if b"\n" in line or b"\r" in line:
        line = line.replace(b"\r", b" ").replace(b"\n", b" ")
    return line + b"\n"
