"""What is known to be complete is said, and what is not as well."""

from datetime import UTC, datetime, timedelta

import pytest

from history_service import coverage
from history_service.coverage import Connected, Gap, HistoryImport, Interval

SINCE = datetime(2026, 5, 12, tzinfo=UTC)
CONNECTED = Connected(SINCE, None)
DAY = timedelta(days=1)


def test_without_any_recovery_the_live_time_is_known_and_nothing_before():
    assert coverage.of(CONNECTED, None, []) == (
        [Interval(SINCE, None, "live")],
        [Gap(None, SINCE, "before_connection")],
    )


def test_a_complete_history_reaches_180_days_back():
    history = HistoryImport("completed", SINCE, None, '{"phases":{"2":{"progress":100}}}')

    assert coverage.of(CONNECTED, history, []) == (
        [Interval(SINCE - 180 * DAY, SINCE, "history"), Interval(SINCE, None, "live")],
        [Gap(None, SINCE - 180 * DAY, "before_connection")],
    )


@pytest.mark.parametrize(
    ("phases", "days"),
    [
        ('{"0":{"progress":100}}', 1),
        ('{"0":{"progress":100},"1":{"progress":100}}', 90),
        ('{"0":{"progress":100},"1":{"progress":100},"2":{"progress":55}}', 90),
    ],
)
def test_an_incomplete_history_reaches_as_far_as_its_whole_phases(phases: str, days: int):
    history = HistoryImport("in_progress", SINCE, None, f'{{"phases":{phases}}}')

    found = coverage.of(CONNECTED, history, [])

    assert found.intervals[0] == Interval(SINCE - days * DAY, SINCE, "history")
    assert found.gaps == [Gap(None, SINCE - days * DAY, "history_incomplete")]


def test_a_phase_that_began_before_another_ended_proves_nothing():
    history = HistoryImport(
        "in_progress", SINCE, None, '{"phases":{"0":{"progress":40},"1":{"progress":90}}}'
    )

    assert coverage.of(CONNECTED, history, []) == (
        [Interval(SINCE, None, "live")],
        [Gap(None, SINCE, "history_incomplete")],
    )


def test_a_declined_history_is_a_gap_with_what_meta_said():
    history = HistoryImport("failed", SINCE, "declined", '{"declined":[{"code":2593109}]}')

    assert coverage.of(CONNECTED, history, []).gaps == [Gap(None, SINCE, "history_declined", "declined")]


def test_imported_chats_fill_their_times_and_leave_the_gaps_between():
    first, last = SINCE - 40 * DAY, SINCE - 10 * DAY

    found = coverage.of(CONNECTED, None, [(first, last)])

    assert found.intervals[0] == Interval(first, last, "chat_export")
    assert found.gaps == [
        Gap(None, first, "before_connection"),
        Gap(last, SINCE, "before_connection"),
    ]


def test_a_disconnected_number_is_known_until_then():
    until = SINCE + 3 * DAY

    found = coverage.of(Connected(SINCE, until, "PARTNER_REMOVED"), None, [])

    assert found.intervals == [Interval(SINCE, until, "live")]
    assert found.gaps[-1] == Gap(until, None, "disconnected", "PARTNER_REMOVED")
