"""Settings from the environment, with every fault reported at once.

A secret may come as `NAME` or, for files mounted by a container engine, as the path `NAME_FILE`.
An empty variable counts as one that is not set.
"""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_PORT_MAX: Final = 65535

T = TypeVar("T")


class SettingsError(Exception):
    """The environment is not fit to start with. Names variables, never their values."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("settings: " + "; ".join(faults))
        self.faults = faults


class Environment:
    """Reads variables and collects what is wrong with them; `read` raises it all at the end.

    Without a default a variable is required. After a fault the readers return a value of the right
    type that nobody gets to use.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []
        """A service adds what it finds wrong itself: "NAME must ...", without the value."""

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environ.get(name, "")
        if value:
            return value
        if default is None:
            self.faults.append(f"{name} is missing")
            return ""
        return default

    def secret(
        self, name: str, default: str | None = None, *, check: Callable[[str], object] | None = None
    ) -> str:
        """Read `name` or the file that `name_FILE` names, less one trailing newline; never both.

        `check` raises ValueError, whose text becomes the fault: it must not quote the secret.
        """
        value, path = self._environ.get(name, ""), self._environ.get(f"{name}_FILE", "")
        if value and path:
            self.faults.append(f"{name} and {name}_FILE are both set")
            return value
        if path:
            value = self._read_file(f"{name}_FILE", path)
            if not value:
                return ""
        elif not value:
            if default is None:
                self.faults.append(f"{name} (or {name}_FILE) is missing")
            return default or ""
        if check is not None:
            try:
                check(value)
            except ValueError as fault:
                self.faults.append(f"{name}: {fault}")
        return value

    def _read_file(self, name: str, path: str) -> str:
        try:
            value = Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
            self.faults.append(f"{name} cannot be read ({type(error).__name__})")
            return ""
        if not value:
            self.faults.append(f"{name} names an empty file")
        return value

    def integer(self, name: str, default: int | None = None, *, at_least: int, at_most: int) -> int:
        text = self._environ.get(name, "")
        if not text:
            if default is None:
                self.faults.append(f"{name} is missing")
                return at_least
            return default
        if not _WHOLE.fullmatch(text) or not at_least <= int(text) <= at_most:
            self.faults.append(f"{name} must be a whole number from {at_least} to {at_most}")
            return at_least
        return int(text)

    def seconds(self, name: str, default: float, *, at_least: float, at_most: float) -> float:
        text = self._environ.get(name, "")
        if not text:
            return default
        if not _DECIMAL.fullmatch(text) or not at_least <= float(text) <= at_most:
            self.faults.append(f"{name} must be seconds from {at_least:g} to {at_most:g}")
            return at_least
        return float(text)

    def flag(self, name: str, default: bool) -> bool:
        text = self._environ.get(name, "").lower()
        if not text:
            return default
        if text not in {"true", "false", "1", "0", "yes", "no"}:
            self.faults.append(f"{name} must be true or false")
        return text in {"true", "1", "yes"}

    def parsed(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        """Read a value of its own kind; `parse` raises ValueError, whose text becomes the fault."""
        try:
            return parse(self._environ.get(name, "") or default)
        except ValueError as fault:
            self.faults.append(f"{name}: {fault}")
            return parse(default)

    def address(self, name: str, default: str | None = None) -> str:
        """Read "host:port"; an IPv6 address stands in brackets."""
        value = self.text(name, default)
        if not value:
            return value
        host, _, port = value.rpartition(":")
        is_one_host = host and (":" not in host or (host.startswith("[") and host.endswith("]")))
        if not (is_one_host and port.isascii() and port.isdigit() and int(port[:6]) <= _PORT_MAX):
            self.faults.append(f"{name} must be host:port")
        return value


@contextmanager
def read(environ: Mapping[str, str]) -> Generator[Environment]:
    """Give an Environment; on leaving, raise SettingsError with everything found wrong."""
    environment = Environment(environ)
    try:
        yield environment
    except Exception as error:
        # What comes of using a value that is faulty anyway; the faults say more.
        if environment.faults:
            raise SettingsError(environment.faults) from error
        raise
    if environment.faults:
        raise SettingsError(environment.faults)
