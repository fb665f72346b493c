"""Settings from the environment, with every fault reported at once.

A secret may come as `NAME` or, for files mounted by a container engine, as the path `NAME_FILE`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final


class SettingsError(Exception):
    """The environment is not fit to start with. Names variables, never their values."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("settings: " + "; ".join(faults))
        self.faults = faults


_REQUIRED: Final = None


class Environment:
    """Reads variables and collects what is wrong with them; `read` raises it all at the end.

    After a fault the readers return a value of the right type that nobody gets to use.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def text(self, name: str, default: str | None = _REQUIRED) -> str:
        value = self._environ.get(name, "")
        if value:
            return value
        if default is None:
            self.faults.append(f"{name} is missing")
        return default or ""

    def secret(self, name: str, default: str | None = _REQUIRED) -> str:
        """Read `name` or the file that `name_FILE` names, less one trailing newline; never both."""
        value, path = self._environ.get(name, ""), self._environ.get(f"{name}_FILE", "")
        if value and path:
            self.faults.append(f"{name} and {name}_FILE are both set")
        elif path:
            try:
                value = Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
            except (OSError, UnicodeDecodeError) as error:
                self.faults.append(f"{name}_FILE cannot be read ({type(error).__name__})")
                return ""
            if not value:
                self.faults.append(f"{name}_FILE is empty")
        if not value and not path:
            if default is None:
                self.faults.append(f"{name} (or {name}_FILE) is missing")
            return default or ""
        return value

    def integer(self, name: str, default: int | None = None, *, at_least: int, at_most: int) -> int:
        text = self._environ.get(name, "")
        if not text and default is not None:
            return default
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not at_least <= value <= at_most:
            self.faults.append(f"{name} must be a whole number from {at_least} to {at_most}")
            return at_least
        return value

    def seconds(self, name: str, default: float, *, at_least: float, at_most: float) -> float:
        text = self._environ.get(name, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = None
        if value is None or not at_least <= value <= at_most:
            self.faults.append(f"{name} must be seconds from {at_least:g} to {at_most:g}")
            return at_least
        return value

    def flag(self, name: str, default: bool) -> bool:
        text = self._environ.get(name, "").lower()
        if not text:
            return default
        if text not in {"true", "false", "1", "0", "yes", "no"}:
            self.faults.append(f"{name} must be true or false")
        return text in {"true", "1", "yes"}

    def address(self, name: str, default: str | None = _REQUIRED) -> str:
        """Read "host:port"."""
        value = self.text(name, default)
        host, _, port = value.rpartition(":")
        if value and not (host and port.isascii() and port.isdigit() and int(port) <= 65535):
            self.faults.append(f"{name} must be host:port")
        return value


@contextmanager
def read(environ: Mapping[str, str]) -> Iterator[Environment]:
    """Give an Environment; on leaving, raise SettingsError with everything found wrong."""
    environment = Environment(environ)
    yield environment
    if environment.faults:
        raise SettingsError(environment.faults)
