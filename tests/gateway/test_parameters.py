"""Queries and bodies: what is right is read, everything that is wrong is named."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import flask
import msgspec
import pytest
from hypothesis import given, strategies as st
from werkzeug.exceptions import UnsupportedMediaType

from gateway import parameters
from plumbing import errors


class Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    lead_id: str
    states: list[str] = []
    until: datetime | None = None


@pytest.fixture(scope="module")
def app() -> flask.Flask:
    return flask.Flask("test")


def faults(error: errors.InvalidArgument) -> dict[str, str]:
    return {fault.name: fault.reason for fault in error.fields}


class Moments(msgspec.Struct):
    at: Annotated[datetime | None, parameters.moment("A time.")]
    end: Annotated[datetime | None, parameters.moment("A time.", is_end=True)]


class Period(msgspec.Struct, rename="camel"):
    from_date: Annotated[datetime | None, parameters.moment("A time.")]
    to_date: Annotated[datetime | None, parameters.moment("A time.", is_end=True)]


class Everything(msgspec.Struct):
    limit: Annotated[int, parameters.limit()]
    order: Annotated[str, parameters.choice("By time.", "asc", "desc", default="asc")]
    lead: Annotated[str, parameters.identifier("Whose.", is_required=True)]
    other: Annotated[str, parameters.identifier("Whose.", is_required=True)]
    at: Annotated[datetime | None, parameters.moment("A time.")]
    cursor: Annotated[str, parameters.cursor()]
    q: Annotated[str, parameters.text("Words.", longest=5, is_required=True)]
    dry: Annotated[bool, parameters.flag("Whether.")]


def read_moment(app: flask.Flask, text: str, *, is_end: bool = False) -> datetime | None:
    with app.test_request_context(query_string={"end" if is_end else "at": text}):
        moments = parameters.query(Moments)
    return moments.end if is_end else moments.at


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T14:03:05Z", datetime(2026, 11, 22, 14, 3, 5, tzinfo=UTC)),
        ("2026-11-22t14:03:05z", datetime(2026, 11, 22, 14, 3, 5, tzinfo=UTC)),
        ("2026-11-22T11:03:05-03:00", datetime(2026, 11, 22, 14, 3, 5, tzinfo=UTC)),
        ("2026-11-22T14:03:05.25Z", datetime(2026, 11, 22, 14, 3, 5, 250_000, tzinfo=UTC)),
        ("2026-11-22T14:03:05.123456789Z", datetime(2026, 11, 22, 14, 3, 5, 123_456, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_times_and_dates_are_read_in_utc(app: flask.Flask, text: str, moment: datetime):
    assert read_moment(app, text) == moment


def test_a_date_that_ends_a_period_is_its_last_moment(app: flask.Flask):
    end = read_moment(app, "2026-11-22", is_end=True)

    assert end == datetime(2026, 11, 23, tzinfo=UTC) - timedelta(microseconds=1)


@given(
    moment=st.datetimes(
        min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the zone is drawn separately
        max_value=datetime(2999, 12, 31),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_every_rfc_3339_time_is_read_as_what_it_is(moment: datetime):
    assert read_moment(flask.Flask("test"), moment.isoformat()) == moment


@given(text=st.text(max_size=40))
def test_any_other_text_is_refused_by_name(text: str):
    try:
        datetime.fromisoformat(text)
    except ValueError:
        with pytest.raises(errors.InvalidArgument) as caught:
            read_moment(flask.Flask("test"), text)
        assert set(faults(caught.value)) == {"at"}


def test_a_period_that_ends_before_it_begins_is_refused(app: flask.Flask):
    asked = {"fromDate": "2026-11-23", "toDate": "2026-11-22T23:59:59Z"}

    with app.test_request_context(query_string=asked), pytest.raises(errors.InvalidArgument) as caught:
        parameters.query(Period)

    assert set(faults(caught.value)) == {"toDate"}


def test_a_period_may_be_one_day(app: flask.Flask):
    asked = {"fromDate": "2026-11-22", "toDate": "2026-11-22"}

    with app.test_request_context(query_string=asked):
        period = parameters.query(Period)

    assert period.from_date
    assert period.to_date
    assert period.to_date - period.from_date == timedelta(days=1, microseconds=-1)


def test_everything_wrong_with_a_query_is_named_at_once(app: flask.Flask):
    address = "/?limit=0&order=up&lead=7&limt=5&at=now&cursor=&q=%00&dry=yes&dry=no"

    with app.test_request_context(address), pytest.raises(errors.InvalidArgument) as caught:
        parameters.query(Everything)

    assert faults(caught.value) == {
        "limit": "must be a whole number from 1 to 1000",
        "order": "must be asc or desc",
        "lead": "must be a UUID",
        "other": "is required",
        "limt": "is not a parameter of this route",
        "at": "must be a date (2026-11-22) or an RFC 3339 time (2026-11-22T14:03:05Z)",
        "cursor": "is not a cursor of this list",
        "q": "must not contain U+0000",
        "dry": "must be given once",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is required"),
        ("  ", "is required"),
        ("longer", "must be at most 5 characters"),
        ("o%ffi", "must be text"),
    ],
)
def test_broken_and_missing_text_is_refused(app: flask.Flask, text: str, reason: str):
    asked = app.test_request_context("/", environ_overrides={"QUERY_STRING": f"q={text}"})

    with asked, pytest.raises(errors.InvalidArgument) as caught:
        parameters.query(Everything)

    assert faults(caught.value)["q"].startswith(reason)


def test_what_is_not_given_is_its_default(app: flask.Flask):
    nobody = "00000000-0000-4000-8000-000000000000"

    with app.test_request_context(f"/?lead={nobody}&other={nobody}&q=oi&dry=true&limit=7"):
        query = parameters.query(Everything)

    assert query == Everything(
        limit=7, order="asc", lead=nobody, other=nobody, at=None, cursor="", q="oi", dry=True
    )


def read_body(app: flask.Flask, data: bytes, *, content_type: str = "application/json") -> Body:
    with app.test_request_context(method="POST", data=data, content_type=content_type):
        return parameters.json_body(Body)


def test_a_body_is_read(app: flask.Flask):
    body = read_body(app, b'{"leadId":"7","states":["failed"],"until":"2026-11-22T00:00:00Z"}')

    assert body == Body("7", ["failed"], datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"{}", {"leadId"}),
        (b'{"leadId":7}', {"leadId"}),
        (b'{"leadId":null}', {"leadId"}),
        (b'{"lead_id":"7"}', {"leadId", "lead_id"}),
        (b'{"leadId":"7","a":1,"b":{"c":2}}', {"a", "b"}),
        (b'{"leadId":"7","states":["failed",9],"until":"soon"}', {"states[1]", "until"}),
        (b'{"leadId":[],"states":{},"x":0}', {"leadId", "states", "x"}),
        (b"[]", {"body"}),
        (b'"text"', {"body"}),
        (b"null", {"body"}),
        (b"", {"body"}),
        (b"{", {"body"}),
        (b'{"leadId":"\\ud800"}', {"body"}),
        (b'{"leadId":"\xff"}', {"body"}),
        (b"[" * 100_000, {"body"}),
    ],
)
def test_everything_wrong_with_a_body_is_named_at_once(app: flask.Flask, data: bytes, named: set[str]):
    with pytest.raises(errors.InvalidArgument) as caught:
        read_body(app, data)

    assert set(faults(caught.value)) == named


@given(
    told=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_no_json_value_is_more_than_a_bad_request(told: Any):
    with contextlib.suppress(errors.InvalidArgument):
        assert isinstance(read_body(flask.Flask("test"), msgspec.json.encode(told)), Body)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_does_not_say_it_is_json_is_refused(app: flask.Flask, content_type: str):
    with pytest.raises(UnsupportedMediaType):
        read_body(app, b'{"leadId":"7"}', content_type=content_type)
