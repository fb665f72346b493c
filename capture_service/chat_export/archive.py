"""What "Export chat" hands over, a .txt or a .zip, becomes the chat's text and the names of its media.

Android names the text "WhatsApp Chat with ….txt" in the language of the phone, iOS "_chat.txt"; media
lie beside it. Only the text is ever decompressed, and never beyond the limits below, whatever the
archive says of itself.
"""

import codecs
import contextlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from capture_service.chat_export import parser

_MEBIBYTE: Final = 1024 * 1024
INPUT_BYTES_MAX: Final = 64 * _MEBIBYTE
TEXT_BYTES_MAX: Final = 64 * _MEBIBYTE
# Chats shrink to a fifth, the most monotonous to a fiftieth; deflate can reach a thousandth.
RATIO_MAX: Final = 200
ENTRIES_MAX: Final = 20_000

_IOS_NAME: Final = "_chat.txt"
# An empty archive has no entry, only the end of the directory.
_ZIP_BEGINNINGS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_DIRECTORY_ENTRY: Final = b"PK\x01\x02"
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_ENCRYPTED: Final = 0x1
_UTF8_NAME: Final = 0x800
# Of what other methods compressed, zipfile decompresses more than it was asked for.
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEAD_CHARS: Final = 4096
# Whatever bytes no archive has: zipfile lets through what its own parts raise.
_DAMAGES: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class Refused(Exception):
    """The file is not taken. Carries what it is and the limit it breaks, never names or content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Export(msgspec.Struct, frozen=True):
    text: str
    media_names: list[str]
    """The last part of each path, in the archive's order; none of a plain text."""


def open_export(data: bytes) -> Export:
    """Give the text of an exported chat, which nobody has yet read: see `parser.parse`.

    A text is UTF-8, or UTF-16 with its mark. An archive holds one text; beside `_chat.txt`, and beside
    the only text that begins as a chat, others are documents that were sent. Archives inside the archive
    are not opened.

    Raises Refused.
    """
    if not data:
        raise Refused("the file is empty")
    if len(data) > INPUT_BYTES_MAX:
        raise Refused(f"the file is larger than {_mebibytes(INPUT_BYTES_MAX)}")
    if not data.startswith(_ZIP_BEGINNINGS):
        return Export(_decoded(data), [])
    # Counted before zipfile makes an object of each. Documents hold directories too, so that this may
    # count too many, never too few.
    if data.count(_DIRECTORY_ENTRY) > ENTRIES_MAX:
        raise Refused(f"the zip has more than {ENTRIES_MAX:,} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _opened(archive)
    except _DAMAGES:
        raise Refused("the zip is damaged or was cut short") from None


def _opened(archive: zipfile.ZipFile) -> Export:
    files = [entry for entry in archive.infolist() if _is_file(entry)]
    texts = [entry for entry in files if _base_name(entry).lower().endswith(".txt")]
    chat, text = _chat_text(archive, texts)
    return Export(text, [_base_name(entry) for entry in files if entry is not chat])


def _is_file(entry: zipfile.ZipInfo) -> bool:
    """Tell files from folders and from what macOS adds. Raises Refused on what must not be there at all."""
    name = _path(entry)
    if "\0" in name:
        raise Refused("the zip has an entry whose name is not a name")
    if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        raise Refused("the zip has an entry whose name leads out of it")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refused("the zip has an entry that is a link or a device, not a file")
    if entry.flag_bits & _ENCRYPTED:
        raise Refused("the zip is encrypted")
    base = _base_name(entry)
    return bool(base) and not base.startswith("._") and base != ".DS_Store"


def _base_name(entry: zipfile.ZipInfo) -> str:
    return _path(entry).rpartition("/")[2]


def _path(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    if not entry.flag_bits & _UTF8_NAME:
        # The archiver of macOS writes UTF-8 and does not say so.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _chat_text(archive: zipfile.ZipFile, texts: Sequence[zipfile.ZipInfo]) -> tuple[zipfile.ZipInfo, str]:
    if not texts:
        raise Refused("the zip has no .txt file")
    chats = [entry for entry in texts if _base_name(entry) == _IOS_NAME] or list(texts)
    if len(chats) > 1:
        chats = [entry for entry in chats if _begins_as_chat(archive, entry)]
    if len(chats) != 1:
        raise Refused("the zip has several .txt files, and not exactly one of them is a chat")
    return chats[0], _decoded(_read(archive, chats[0]))


def _begins_as_chat(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    if entry.compress_type not in _METHODS:
        return False
    with archive.open(entry) as file:
        head = file.read(_HEAD_CHARS)
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    return parser.begins_as_chat(head.decode(encoding, errors="replace"))


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type not in _METHODS:
        raise Refused("the zip's text is compressed by a method other than deflate")
    if entry.file_size > TEXT_BYTES_MAX:
        raise Refused(f"the zip's text is larger than {_mebibytes(TEXT_BYTES_MAX)}")
    if entry.file_size > RATIO_MAX * entry.compress_size:
        raise Refused(f"the zip's text is more than {RATIO_MAX} times as large as its compressed form")
    with archive.open(entry) as file:
        # zipfile stops at the size that the entry claims, which was checked above.
        return file.read(TEXT_BYTES_MAX)


def _decoded(data: bytes) -> str:
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # WhatsApp writes UTF-8. What is cut within a letter, or was saved by another program in the letters
        # of some country, would be imported as other words, and doubled by the whole file.
        raise Refused(
            f"the file is neither a zip nor a text in UTF-8 or UTF-16 (byte {error.start + 1:,} is no letter)"
        ) from None
    if "\0" in text:
        raise Refused("the file is neither a zip nor a text")
    return text


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes // _MEBIBYTE} MiB"
