"""Whole systems to start, and the certainty that nothing of them stays behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.stack.marks import Marked


@pytest.fixture
def marked() -> Iterator[Marked]:
    """A mark for the processes that a test starts; what still runs at its end is killed."""
    found = Marked()
    yield found
    found.kill_all()


@pytest.fixture
def stack_in(tmp_path: Path, marked: Marked) -> Callable[..., Stack]:
    def make(name: str, *options: str) -> Stack:
        return Stack(tmp_path / name, marked, *options)

    return make
