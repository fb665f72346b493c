"""Where and when something was measured: a figure without it says little."""

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from recado.bench import store


class Machine(msgspec.Struct, frozen=True):
    measured_at: str
    processor: str
    cores: int
    system: str
    python: str
    postgres: str
    shared_buffers: str
    synchronous_commit: str
    gunicorn: str
    generator: str


def describe(database: store.Version, *, generator: str) -> Machine:
    return Machine(
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        postgres=database.server,
        shared_buffers=database.shared_buffers,
        synchronous_commit=database.synchronous_commit,
        gunicorn=metadata.version("gunicorn"),
        generator=generator,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor())
