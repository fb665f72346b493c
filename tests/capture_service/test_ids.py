"""Ids tell their moment, and follow from what they stand for."""

from datetime import UTC, datetime

from hypothesis import given, strategies as st

from capture_service import ids
from protos.ids import moment_of, uuid7

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS)
def test_an_id_tells_its_moment_to_the_microsecond(at: datetime) -> None:
    id = uuid7(at)

    assert (id.version, id.variant) == (7, "specified in RFC 4122")
    assert moment_of(id) == at


@given(MOMENTS, MOMENTS)
def test_ids_are_in_the_order_of_their_moments(first: datetime, second: datetime) -> None:
    assert first == second or (uuid7(first) < uuid7(second)) == (first < second)


@given(MOMENTS)
def test_what_a_batch_begins_has_its_moment_and_an_id_that_can_be_found_again(at: datetime) -> None:
    batch, other = uuid7(at), uuid7(at)
    lead = ids.begun_by(batch, "lead", "wa_id", "5511988887777")

    assert (lead.version, moment_of(lead)) == (7, at)
    assert lead == ids.begun_by(batch, "lead", "wa_id", "5511988887777")
    assert len({lead, batch, ids.begun_by(batch, "lead", "bsuid", "x"), ids.begun_by(other, "lead")}) == 4
