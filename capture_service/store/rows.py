"""How rows travel, and the keys they are known by."""

import uuid
from typing import Final, TypeAlias

import msgspec

# Owner of webhooks that belong to nobody (yet).
NO_TENANT: Final = 0
LeadKey: TypeAlias = tuple[int, uuid.UUID]
IdentifierKey: TypeAlias = tuple[int, str, str]
RouteKey: TypeAlias = tuple[str, str]


def json_rows(rows: object) -> str:
    return msgspec.json.encode(rows).decode()
