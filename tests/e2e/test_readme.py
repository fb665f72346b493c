"""What the README tells people to type is typed here, in its order, beside a system started as it says."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_documents import README, TYPED_ELSEWHERE, blocks
from tests.house.tree import ROOT

START_TIMEOUT_S = 120
DEFAULT_PORT = "127.0.0.1:8080"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that looks like a checkout in which `make run` has been typed."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "docs").symlink_to(ROOT / "docs")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Run `recado up` there on a free port; give its host:port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECADO_")}
    stack = subprocess.Popen(
        [sys.executable, "-m", "recado", "up", "--port", str(port)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert stack.stdout
    try:
        said: list[str] = []
        for line in stack.stdout:
            said.append(line)
            if "conversations/sync?leadId=" in line:
                break
        else:
            pytest.fail("".join(said))
        yield f"127.0.0.1:{port}"
    finally:
        stack.send_signal(signal.SIGINT)
        stack.stdout.close()
        assert stack.wait(timeout=60) == 0


@pytest.mark.timeout(START_TIMEOUT_S + 120)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's examples need curl")
def test_what_the_readme_says_to_type_works(folder: Path, address: str):
    typed = [block for block in blocks(README) if block.strip() not in TYPED_ELSEWHERE]
    # One shell for all of them, as a person has; each answer ends with a mark of its own.
    script = "\n".join(f"{block}\nprintf '\\n--- %s ---\\n' $?" for block in typed)

    done = subprocess.run(
        ["bash", "-u", "-c", script.replace(DEFAULT_PORT, address)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    answers = re.split(r"^--- (\d+) ---$", done.stdout, flags=re.MULTILINE)
    outputs, codes = answers[:-1:2], answers[1::2]
    assert codes == ["0"] * len(typed), done.stdout + done.stderr
    leads, history, recovery, printed, instance = outputs
    assert len(json.loads(leads)["leads"]) == 3
    page = json.loads(history)
    assert page["messages"]
    assert page["metadata"]["totalMessages"] == page["pagination"]["total"]
    assert json.loads(recovery)["syncId"]
    # The gRPC client shows the messages of that page first, and maybe some that have come since.
    assert len(printed.strip().splitlines()) >= len(page["messages"])
    for message in page["messages"]:
        assert (message["body"] or f"[{message['type']}]").splitlines()[0] in printed
    assert re.fullmatch(r"[0-9a-f-]{36}", instance.strip())
