"""Write docs/wire.md: what of Meta's wire is known, where it is kept, and which example proves it."""

import sys
from collections.abc import Mapping
from typing import Final

from capture_service import fields, kinds

EXAMPLES: Final = "tests/wire_examples"
_PREAMBLE: Final = f"""\
# What Meta sends, and where it is found

Written by `make docs` from the tables that the capture service reads by (`capture_service/kinds.py`,
`capture_service/fields.py`). Every row has an example in `{EXAMPLES}`, which a test sends and finds again.

Whatever is not listed is kept all the same: a type that is not known is a message of that type, with its
content verbatim and a line that names it; a field that is not known is an account event; the whole webhook
is in the ledger.
"""


def table() -> str:
    """Give the document."""
    parts = [
        _PREAMBLE,
        _section(
            "Types of messages", "type", "message", {name: kind.kept for name, kind in kinds.KINDS.items()}
        ),
        _section("Statuses", "status", "status", fields.STATUSES),
        _section("Webhook fields", "field", "field", fields.FIELDS),
    ]
    return "\n".join(parts)


def example(group: str, name: str) -> str:
    """Give the path of the example of a row, from the repository's root."""
    return f"{EXAMPLES}/{group}.{name}.json"


def _section(title: str, head: str, group: str, rows: Mapping[str, str]) -> str:
    lines = [f"## {title}", "", f"| {head} | where it is found | example |", "| --- | --- | --- |"]
    for name, kept in rows.items():
        path = example(group, name)
        lines.append(f"| `{name}` | {kept} | [{path.rpartition('/')[2]}](../{path}) |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(table())
