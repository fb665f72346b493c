"""The data folder of one stack: what lies where in it, and who holds it."""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from recado.stack.processes import StackError

_WAIT_FOR_LEFTOVERS_S = 30.0


@dataclass(frozen=True, slots=True)
class Folder:
    path: Path
    """Absolute."""

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets.env"

    @property
    def state(self) -> Path:
        return self.path / "run" / "state.json"

    @property
    def exports(self) -> Path:
        return self.path / "exports"

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def lock(self) -> int:
        """Make the folder where missing, take it for this process, give the descriptor that holds it.

        Whoever inherits the descriptor holds the folder too. Waits for what a killed supervisor left
        running to end; raises StackError when another stack runs here.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in ("run", "logs"):
            (self.path / part).mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.path / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _WAIT_FOR_LEFTOVERS_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = int(os.pread(descriptor, 32, 0) or b"0")
                if _is_running(holder) or time.monotonic() > deadline:
                    os.close(descriptor)
                    raise StackError(
                        f"another `recado up` (process {holder}) runs on {self.path}: "
                        "stop it first, or give this one its own --data and --port"
                    ) from None
                time.sleep(0.1)
            else:
                break
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def write_state(self, state: dict[str, Any]) -> None:
        """Publish where the running stack is; it contains passwords, hence 0600."""
        draft = self.state.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(state, file, indent=1)
        draft.rename(self.state)

    def read_state(self) -> dict[str, Any] | None:
        """Give what the running stack says about itself; None when none runs here."""
        try:
            state = cast("dict[str, Any]", json.loads(self.state.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise StackError(
                f"{self.state} belongs to another user: run this as who runs the stack"
            ) from None
        # A supervisor killed with SIGKILL could not remove it.
        return state if _is_running(int(state["pid"])) else None


def _is_running(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
