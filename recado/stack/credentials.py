"""The secrets of a stack: made once, kept in its folder, overruled by the environment."""

import base64
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from recado.stack.processes import StackError


def _password() -> str:
    return secrets.token_urlsafe(24)


_MAKE: Final[dict[str, Callable[[], str]]] = {
    "RECADO_META_APP_SECRET": lambda: secrets.token_hex(16),  # the form of Meta's own
    "RECADO_META_VERIFY_TOKEN": _password,
    "RECADO_AUTH_SECRET": lambda: secrets.token_urlsafe(48),
    "RECADO_TOKEN_KEYS": lambda: "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
    "RECADO_POSTGRES_PASSWORD": _password,
    "RECADO_CAPTURE_PASSWORD": _password,
    "RECADO_HISTORY_PASSWORD": _password,
    "RECADO_ENRICHMENT_PASSWORD": _password,
    "RECADO_VALKEY_PASSWORD": _password,
}

# No process gets one of these unless it needs it.
NAMES: Final = frozenset({*_MAKE, "RECADO_DATABASE_URL", "RECADO_REDIS_URL"})


def load_or_make(path: Path) -> dict[str, str]:
    """Give the secrets kept at `path`, made there (mode 0600) where they are missing."""
    kept = load(path)
    missing = {name: make() for name, make in _MAKE.items() if name not in kept}
    if missing:
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in {**kept, **missing}.items())
            file.flush()
            # Losing them after PostgreSQL was made with them would lock everybody out.
            os.fsync(file.fileno())
        draft.rename(path)
    return {**kept, **missing}


def load(path: Path) -> dict[str, str]:
    """Give the secrets kept at `path`; none when there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:
        raise StackError(f"{path} belongs to another user: run this as who runs the stack") from None
    return {name: value for name, _, value in (line.partition("=") for line in lines) if value}


def of_environment(environ: Mapping[str, str], name: str) -> dict[str, str]:
    """Give NAME or NAME_FILE as the operator set it; nothing when neither is set."""
    return {key: environ[key] for key in (name, f"{name}_FILE") if environ.get(key)}


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment with no secret of ours in it."""
    return {name: value for name, value in environ.items() if name.removesuffix("_FILE") not in NAMES}


def choose(environ: Mapping[str, str], kept: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Give these secrets as a child's environment: the operator's where set, else the kept ones."""
    chosen: dict[str, str] = {}
    for name in names:
        chosen |= of_environment(environ, name) or {name: kept[name]}
    return chosen
