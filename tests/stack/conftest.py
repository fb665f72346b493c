import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from tests.stack.marks import Marked


@pytest.fixture
def marked() -> Iterator[Marked]:
    """A mark for the processes that a test starts; what still runs at its end is killed."""
    found = Marked()
    yield found
    for pid in found.running():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
