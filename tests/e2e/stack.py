"""One `recado up` as a process, for tests that use the whole system."""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from recado.stack.processes import free_port
from tests.stack.marks import Marked, wait_until


class Stack:
    """One `recado up`, with everything it prints."""

    def __init__(self, data: Path, marked: Marked, *options: str, **settings: str) -> None:
        self.data = data
        self.port = free_port()
        self._marked = marked
        self._options = options
        self._settings = settings
        self.output = data.with_name(data.name + ".out")

    def start(self) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            return subprocess.Popen(
                command("up", "--data", str(self.data), "--port", str(self.port), *self._options),
                env=environment(self._marked) | self._settings,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start_and_wait(self) -> subprocess.Popen[bytes]:
        process = self.start()

        last = "Meta posts its webhooks to" if "--no-sandbox" in self._options else "?leadId="

        def is_ready() -> bool:
            assert process.poll() is None, self.said()
            return f"Recado runs at http://127.0.0.1:{self.port}\n" in self.said() and last in self.said()

        wait_until(is_ready, timeout_s=120)
        return process

    def said(self) -> str:
        return self.output.read_text()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of `recado` on this stack."""
        return subprocess.run(
            command(*arguments, "--data", str(self.data)),
            env=environment(self._marked),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def lead_id(self) -> str:
        (lead_id,) = re.findall(r'\?leadId=([0-9a-f-]{36})"$', self.said(), re.MULTILINE)
        return lead_id

    def follow_curl(self) -> dict[str, Any]:
        """Do what the printed curl line does."""
        (line,) = (line for line in self.said().splitlines() if line.startswith("curl "))
        _, flag, header, url = shlex.split(line)
        assert flag == "-H"
        return get(url, header)

    def get(self, path: str, *, tenant: str) -> dict[str, Any]:
        token = self.run("token", "issue", "--tenant", tenant, "--user", "ana", "--scope", "history:read")
        assert token.returncode == 0, token.stderr
        return get(
            f"http://127.0.0.1:{self.port}/api/v1/whatsapp{path}",
            f"Authorization: Bearer {token.stdout.strip()}",
        )

    def state(self) -> dict[str, Any]:
        return json.loads((self.data / "run" / "state.json").read_text())


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "recado", *arguments]


def environment(marked: Marked) -> dict[str, str]:
    # What a developer has set must not decide what is tested.
    return {name: value for name, value in marked.environment.items() if name not in _OURS} | {
        "PYTHONPATH": str(Path(__file__).parents[2])
    }


_OURS = frozenset(name for name in os.environ if name.startswith("RECADO_"))


def get(url: str, header: str) -> dict[str, Any]:
    name, _, value = header.partition(": ")
    request = urllib.request.Request(url, headers={name: value})  # noqa: S310 - an address of our own
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return json.load(response)
