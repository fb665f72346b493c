"""A worker whose jobs write down that they ran: python -m tests.plumbing.jobs_for_a_worker REDIS_URL FILE."""

import sys
import time
from pathlib import Path

from plumbing import errors, queues, telemetry

if __name__ == "__main__":
    url, path = sys.argv[1], Path(sys.argv[2])

    def note(line: str) -> None:
        with path.open("a") as file:
            file.write(line + "\n")

    def write(*, text: str) -> None:
        note(text)

    def dawdle(*, text: str, seconds: str) -> None:
        note(f"begin {text}")
        time.sleep(float(seconds))
        note(f"end {text}")

    def fail(*, text: str) -> None:
        note(f"fail {text}")
        raise ValueError(f"content of {text}")

    def postpone(*, text: str) -> None:
        note(f"postpone {text}")
        raise errors.Unavailable("capture is away")

    telemetry.configure_logging("worker")
    queues.run_worker(
        url,
        ["first", "second"],
        {"write": write, "dawdle": dawdle, "fail": fail, "postpone": postpone},
    )
