"""What the maker and the giver of the files of exports agree on."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Final

KEPT: Final = timedelta(hours=24)
"""So long a file can be fetched."""


def path_of(folder: Path, export_id: uuid.UUID) -> Path:
    return folder / f"{export_id}.zip"
