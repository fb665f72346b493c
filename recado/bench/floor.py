"""The floor of `recado bench ingest`: what the same machine does when nothing is kept."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Final

import msgspec

from recado.bench import load
from recado.stack import processes

HOST: Final = "127.0.0.1"
_START_S: Final = 30.0


class Failed(Exception):
    """The floor could not be measured."""


class Floor(msgspec.Struct, frozen=True):
    address: tuple[str, int]
    pid: int


@contextlib.contextmanager
def serve() -> Generator[Floor]:
    """Serve an empty Flask route under gunicorn `gthread`, 2 workers of 32 threads."""
    port = processes.free_port()
    command = (
        sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--workers", "2", "--threads", "32",
        "--backlog", "2048", "--bind", f"{HOST}:{port}", "--log-level", "error", "--no-control-socket",
        "recado.sandbox.floor:app",
    )  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        while not load.accepts(HOST, port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed("the empty Flask route did not start under gunicorn")
            time.sleep(0.05)
        yield Floor((HOST, port), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
