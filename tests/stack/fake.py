"""A process for the supervisor's tests: writes down when it starts and stops, and does as it is told."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("events", type=Path)
parser.add_argument("--die-after-s", type=float)
parser.add_argument("--says", default="")
parser.add_argument("--child", action="store_true", help="run a child that does not listen to signals")
parser.add_argument("--is-deaf", action="store_true", help="ignore the stop signal")
parser.add_argument("--is-sick", action="store_true", help="never become healthy")
arguments = parser.parse_args()


def note(what: str) -> None:
    with arguments.events.open("a") as events:
        events.write(f"{what} {arguments.name} {os.getpid()}\n")


signals: list[int] = []
signal.signal(signal.SIGTERM, lambda number, _: None if arguments.is_deaf else signals.append(number))
signal.signal(signal.SIGINT, signal.SIG_IGN)
if arguments.child:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", deaf])
for line in arguments.says.split("|"):
    print(line, flush=True)  # noqa: T201 - its output is what is tested
if not arguments.is_sick:
    note("start")
deadline = time.monotonic() + (arguments.die_after_s or 600)
while not signals and time.monotonic() < deadline:
    time.sleep(0.01)
note("stop" if signals else "die")
sys.exit(0 if signals else 3)
