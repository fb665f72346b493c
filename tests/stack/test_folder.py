import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recado.stack.folder import Folder
from recado.stack.processes import StackError


def test_the_folder_is_ours_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "deep" / "data")

    os.close(folder.lock())

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_folder_in_use_is_refused_with_who_uses_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    lock = folder.lock()

    with pytest.raises(StackError, match=rf"process {os.getpid()}\) runs on .*--data and --port"):
        folder.lock()

    os.close(lock)


def test_the_state_of_a_stack_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    os.close(folder.lock())
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()

    folder.write_state({"pid": os.getpid()})
    assert folder.read_state() == {"pid": os.getpid()}
    folder.write_state({"pid": gone.pid})
    assert folder.read_state() is None
    assert stat.S_IMODE(folder.state.stat().st_mode) == 0o600
