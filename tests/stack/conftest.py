from collections.abc import Iterator

import pytest

from tests.stack.marks import Marked


@pytest.fixture
def marked() -> Iterator[Marked]:
    """A mark for the processes that a test starts; what still runs at its end is killed."""
    found = Marked()
    yield found
    found.kill_all()
