"""The repository as the house tests see it: its files, wherever it has been cloned to."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = (
    "protos",
    "plumbing",
    "gateway",
    "capture_service",
    "enrichment_service",
    "history_service",
    "recado",
)
_LEFT_BY_TOOLS: Final = {".venv", "__pycache__", "build", "dist"}


def tracked_files() -> list[Path]:
    """List the files of the repository; in an unpacked archive, where git knows nothing, all but caches."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        return [
            path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()
        ]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(
            part in _LEFT_BY_TOOLS or part.endswith((".egg-info", "_cache")) or part.startswith(".recado")
            for part in path.relative_to(ROOT).parts
        )
    ]


def texts() -> Iterator[tuple[Path, str]]:
    """Give every text file of the repository with its path from the root."""
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        try:
            yield path.relative_to(ROOT), content.decode()
        except UnicodeDecodeError:
            continue


def sources() -> Iterator[tuple[Path, str]]:
    """Give every hand-written Python module of the packages."""
    for path, text in texts():
        if path.suffix == ".py" and path.parts[0] in PACKAGES and "_pb2" not in path.name:
            yield path, text
