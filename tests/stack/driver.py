"""Run a supervisor over fake processes: `driver.py FOLDER NAME[:ARGUMENT,ARGUMENT...]...`."""

import os
import sys
from pathlib import Path

from recado.stack.folder import Folder
from recado.stack.processes import Program, StackError
from recado.stack.supervisor import Declared, Supervisor

FAKE = str(Path(__file__).with_name("fake.py"))


def declare(folder: Folder, name: str, arguments: list[str]) -> Declared:
    events = folder.path / "events"

    def is_healthy() -> bool:
        return events.exists() and f"start {name} " in events.read_text()

    def program() -> Program:
        return Program(
            name=name,
            command=(sys.executable, FAKE, name, str(events), *arguments),
            environment={**os.environ},
            is_healthy=is_healthy,
            start_timeout_s=10.0,
            stop_timeout_s=1.0,
        )

    return Declared(name, program)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    folder = Folder(Path(sys.argv[1]))
    try:
        lock = folder.lock()
        plan = [
            declare(folder, name, arguments.split(",") if arguments else [])
            for name, _, arguments in (argument.partition(":") for argument in sys.argv[2:])
        ]
        supervisor = Supervisor(
            log_of=folder.log, tell=lambda name, what: say(f"{name}: {what}"), inherited=(lock,)
        )
        supervisor.run(plan, lambda: say("all ready"))
    except StackError as error:
        say(f"failed: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
