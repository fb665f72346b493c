import uuid
from datetime import UTC, datetime, timezone

import pytest
from hypothesis import given, strategies as st

from history_service import cursor

MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
TOTALS = st.none() | st.integers(min_value=0, max_value=2**62)


@given(MOMENTS, st.uuids(), TOTALS)
def test_a_cursor_gives_back_the_position_it_was_made_of(moment: datetime, id: uuid.UUID, total: int):
    written = cursor.write(cursor.Position.at(moment, id, total=total), "padaria", "asc")

    position = cursor.read(written, "padaria", "asc")

    assert (position.moment, position.row_id, position.total) == (moment, id, total)


def test_a_cursor_can_stand_in_an_address_as_it_is():
    written = cursor.write(cursor.Position.at(datetime.now(UTC), uuid.uuid4(), total=7))

    assert set(written) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.data())
def test_a_cursor_with_any_character_changed_is_refused(data: st.DataObject):
    written = cursor.write(cursor.Position.at(datetime.now(UTC), uuid.uuid4()), "padaria")
    index = data.draw(st.integers(0, len(written) - 1))
    other = data.draw(st.characters().filter(lambda character: character != written[index]))

    with pytest.raises(cursor.Bad):
        cursor.read(written[:index] + other + written[index + 1 :], "padaria")


@given(st.text())
def test_what_never_was_a_cursor_is_refused(text: str):
    with pytest.raises(cursor.Bad):
        cursor.read(text, "padaria")


@pytest.mark.parametrize("total", [-1, 2**63, 10**30])
def test_a_cursor_with_an_impossible_count_is_refused(total: int):
    forged = cursor.write(cursor.Position.at(datetime.now(UTC), uuid.uuid4(), total=total), "padaria")

    with pytest.raises(cursor.Bad):
        cursor.read(forged, "padaria")


def test_a_cursor_of_another_question_is_refused():
    written = cursor.write(cursor.Position.at(datetime.now(UTC), uuid.uuid4()), "padaria", None, False)

    with pytest.raises(cursor.Bad):
        cursor.read(written, "padaria", None, True)


def test_a_cursor_keeps_the_moment_whatever_the_zone_it_was_given_in():
    moment = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=timezone.max)
    written = cursor.write(cursor.Position.at(moment, uuid.uuid4()))

    assert cursor.read(written).moment == moment
