import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from recado.stack import processes

ROOT = Path(__file__).parents[2]


def run(program: str, **environ: str) -> list[dict[str, Any]]:
    """Run a program with logging configured and give what it logged, line by line."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from plumbing import telemetry; telemetry.configure_logging('test')\n" + program,
        ],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_one_object_with_the_same_keys_from_either_library():
    lines = run(
        """
import logging, structlog
logging.getLogger("a").info("written", extra={"rows": 7})
structlog.get_logger("a").info("written", rows=7)
logging.getLogger("a").debug("too fine")
"""
    )

    assert len(lines) == 2
    for line in lines:
        time = line.pop("time")
        assert time.endswith("Z")
        assert line == {"event": "written", "service": "test", "level": "info", "logger": "a", "rows": 7}


def test_a_line_names_the_request_that_is_served():
    (line,) = run(
        """
import logging, structlog
structlog.contextvars.bind_contextvars(request_id="r-1")
logging.getLogger("a").info("written")
"""
    )

    assert line["request_id"] == "r-1"


def test_the_level_is_the_operators():
    program = "import logging; logging.getLogger('a').debug('fine'); logging.getLogger('a').error('bad')"

    assert [line["event"] for line in run(program, RECADO_LOG_LEVEL="debug")] == ["fine", "bad"]
    assert [line["event"] for line in run(program, RECADO_LOG_LEVEL="error")] == ["bad"]


def test_what_json_cannot_express_is_not_spelled_out():
    (line,) = run(
        """
import logging
class Message:
    def __repr__(self): return "Olá, Maria"
logging.getLogger("a").info("written", extra={"message_": Message(), "data": b"Maria"})
"""
    )

    assert (line["message_"], line["data"]) == ("<Message>", "<bytes>")


def test_a_trace_tells_where_what_kind_and_which_rule():
    (line,) = run(
        """
import logging
from plumbing import errors
class UniqueViolation(Exception):
    sqlstate = "23505"
    class diag:
        constraint_name = "leads_id_is_unique"
def store():
    raise UniqueViolation("Key (name)=(Maria) already exists")
try:
    try:
        store()
    except UniqueViolation as error:
        raise errors.Unavailable("PostgreSQL is away") from error
except errors.Unavailable:
    logging.getLogger("a").exception("not_stored")
"""
    )

    outer, inner = line["exception"]
    assert (outer["type"], outer["detail"]) == ("plumbing.errors.Unavailable", "PostgreSQL is away")
    assert (inner["type"], inner["sqlstate"], inner["constraint"]) == (
        "__main__.UniqueViolation",
        "23505",
        "leads_id_is_unique",
    )
    assert inner["frames"][-1].endswith(" store")
    assert "Maria" not in json.dumps(line)


def test_a_thread_and_a_warning_speak_the_same_way():
    thread, warning = run(
        """
import threading, warnings
def fail():
    raise ValueError("Maria")
thread = threading.Thread(target=fail, name="sweeper")
thread.start()
thread.join()
warnings.warn("old")
"""
    )

    assert (thread["event"], thread["failed_thread"]) == ("thread_failed", "sweeper")
    assert "Maria" not in json.dumps(thread)
    assert warning["logger"] == "py.warnings"


def test_metrics_are_served_on_their_own_port():
    port = processes.free_port()
    run(
        f"""
import urllib.request
from prometheus_client import Counter
counter = Counter("recado_things_total", "Things", ["kind"])
counter.labels("a").inc(3)
telemetry.serve_metrics(0)
telemetry.serve_metrics({port})
text = urllib.request.urlopen("http://127.0.0.1:{port}/metrics").read().decode()
assert 'recado_things_total{{kind="a"}} 3.0' in text
assert "process_resident_memory_bytes" in text
"""
    )


def test_metrics_of_workers_are_summed_and_outlive_them(tmp_path: Path):
    port = processes.free_port()
    count = """
from prometheus_client import Counter, Gauge
Counter("recado_things_total", "Things").inc(3)
Gauge("recado_waiting", "Waiting", multiprocess_mode="livesum").set(5)
"""
    master = f"""
import subprocess, sys, urllib.request
workers = [subprocess.Popen([sys.executable, "-c", {count!r}]) for _ in range(2)]
for worker in workers:
    worker.wait()
telemetry.serve_metrics_of_workers({port})
def read():
    return urllib.request.urlopen("http://127.0.0.1:{port}/metrics").read().decode()
assert "recado_things_total 6.0" in read(), read()
assert "recado_waiting 10.0" in read(), read()
telemetry.forget_worker(workers[0].pid)
assert "recado_things_total 6.0" in read(), read()
assert "recado_waiting 5.0" in read(), read()
"""

    run(master, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))


def test_a_worker_without_shared_metrics_is_forgotten_without_ado():
    run("telemetry.forget_worker(1)")
