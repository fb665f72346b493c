"""What the README tells people to type is typed here, in its order, beside a system started as it says."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import stack as e2e_stack
from tests.e2e.stack import Stack
from tests.house.test_documents import README, TYPED_ELSEWHERE, blocks
from tests.house.tree import ROOT
from tests.stack.marks import Marked

DEFAULT_ADDRESS = "127.0.0.1:8080"


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's examples need curl")
def test_what_the_readme_says_to_type_works(
    tmp_path: Path, stack_in: Callable[..., Stack], marked: Marked
) -> None:
    # A folder that looks like a checkout in which `make run` has been typed.
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    stack = stack_in(".recado")
    process = stack.start_and_wait()
    typed = [block for block in blocks(README) if block.strip() not in TYPED_ELSEWHERE]
    # One shell for all of them, as a person has; each answer ends with a mark of its own.
    script = "\n".join(f"{block}\nprintf '\\n--- %s ---\\n' $?" for block in typed)

    done = subprocess.run(
        ["bash", "-u", "-c", script.replace(DEFAULT_ADDRESS, f"127.0.0.1:{stack.port}")],
        cwd=tmp_path,
        env=e2e_stack.environment(marked),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0
    answers = re.split(r"^--- (\d+) ---$", done.stdout, flags=re.MULTILINE)
    outputs, codes = answers[:-1:2], answers[1::2]
    assert codes == ["0"] * len(typed), done.stdout + done.stderr
    leads, history, search, exported, recovery, dry_run, printed, instance = outputs
    assert len(json.loads(leads)["leads"]) == 3
    page = json.loads(history)
    assert page["messages"]
    assert page["metadata"]["totalMessages"] == page["pagination"]["total"]
    assert "messages" in json.loads(search)
    assert len(exported.splitlines()) > len(page["messages"])
    assert json.loads(recovery)["syncId"]
    assert "4 messages would be imported, 0 were there already" in dry_run
    # The gRPC client prints that page first, and maybe messages that have come since.
    assert len(printed.strip().splitlines()) >= len(page["messages"])
    for message in page["messages"]:
        assert not message["body"] or message["body"].splitlines()[0] in printed
    assert re.fullmatch(r"[0-9a-f-]{36}", instance.strip())
