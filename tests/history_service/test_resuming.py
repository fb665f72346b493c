"""A resume token gives its moment back, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from history_service import resuming
from history_service.resuming import Bad, Moment

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("snapshot", ["10:10:", "10:20:11", "10:20:10,12,19"])
def test_a_token_gives_its_moment_back(snapshot: str):
    assert resuming.read(resuming.write(Moment(AT, snapshot))) == Moment(AT, snapshot)


@pytest.mark.parametrize(
    "snapshot",
    [
        "",
        "10:",
        "20:10:",
        "10:20:9",
        "10:20:20",
        "10:20:12,11",
        "10:20:11,11",
        "0:1:",
        "1:9223372036854775808:",
        # Read in one pass: a pattern that tries every way to part the digits would never end.
        "1:1:" + "1" * 4000 + "x",
        "1:1:" + "1," * 2000,
    ],
)
def test_what_postgresql_could_not_read_is_refused(snapshot: str):
    with pytest.raises(Bad):
        resuming.read(resuming.write(Moment(AT, snapshot)))


@given(st.text(max_size=100))
def test_any_other_text_is_refused(text: str):
    with pytest.raises(Bad):
        resuming.read(text)


def test_a_moment_of_which_the_feed_may_have_forgotten_something_is_too_old():
    moment = Moment(AT, "10:20:")

    assert not moment.is_too_old(AT + timedelta(minutes=50), "20:25:")
    assert moment.is_too_old(AT + timedelta(minutes=56), "20:25:")
    # Another database: restored, or of another test.
    assert moment.is_too_old(AT, "5:7:")
