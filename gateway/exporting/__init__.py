"""A lead's messages as files: the formats, and what they are told.

Everything here is pure: messages as the API shows them go in, oldest first, chunks of bytes come out, and
what is held in between does not grow with the conversation.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from gateway.exporting import chat, jsonl, page, spreadsheet
from gateway.exporting.document import Format, Header, Language, Options, Separator, Shown

__all__ = ["FORMATS", "Format", "Header", "Language", "Options", "Separator", "Shown", "file_name"]

FORMATS: Final[Mapping[str, Format]] = {
    "jsonl": Format("application/x-ndjson", "jsonl", jsonl.write),
    "csv": Format("text/csv; charset=utf-8", "csv", spreadsheet.write),
    "html": Format("text/html; charset=utf-8", "html", page.write),
    "txt": Format("text/plain; charset=utf-8", "txt", chat.write),
}
_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]+")
_STEM_CHARS_MAX: Final = 60


def file_name(lead_name: str, chosen: Format) -> str:
    """Name the file of a lead in letters that every browser and file system takes."""
    plain = unicodedata.normalize("NFKD", lead_name).encode("ascii", "ignore").decode()
    stem = _NOT_IN_NAMES.sub("-", plain).strip("-.")[:_STEM_CHARS_MAX] or "conversation"
    return f"{stem}.{chosen.extension}"
