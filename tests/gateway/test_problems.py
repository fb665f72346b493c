"""Errors become problem documents: what went wrong for the caller, nothing for a stranger."""

import logging
from typing import Any

import flask
import pytest
from werkzeug.exceptions import BadRequest

from gateway import problems, request_id
from plumbing import errors
from plumbing.errors import FieldFault


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (errors.InvalidArgument, 400, "INVALID_ARGUMENT"),
        (errors.Unauthenticated, 401, "UNAUTHENTICATED"),
        (errors.PermissionDenied, 403, "PERMISSION_DENIED"),
        (errors.NotFound, 404, "NOT_FOUND"),
        (errors.AlreadyExists, 409, "ALREADY_EXISTS"),
        (errors.FailedPrecondition, 422, "FAILED_PRECONDITION"),
        (errors.ResourceExhausted, 429, "RESOURCE_EXHAUSTED"),
        (errors.Unavailable, 503, "UNAVAILABLE"),
        (errors.DeadlineExceeded, 503, "UNAVAILABLE"),
        (errors.Internal, 500, "INTERNAL"),
    ],
)
def test_every_error_of_the_set_has_its_status(kind: type[errors.RecadoError], status: int, code: str):
    answer: Any = problems.of(kind("so it is"), "r1")

    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json == {
        "type": "about:blank",
        "title": answer.json["title"],
        "status": status,
        "detail": "so it is",
        "code": code,
        "requestId": "r1",
    }
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_every_error_of_the_set_is_known():
    for kind in errors.BY_GRPC_CODE.values():
        assert problems.of(kind("so it is"), "r1").status_code >= 400


@pytest.mark.parametrize(("asked_s", "told"), [(None, "1"), (0.2, "1"), (1.2, "2"), (30, "30")])
def test_retry_after_is_never_sooner_than_asked(asked_s: float | None, told: str):
    answer = problems.of(errors.Unavailable("later", retry_after_s=asked_s), "r1")

    assert answer.headers["Retry-After"] == told


def test_fields_have_the_names_of_the_rest_api():
    fields = tuple(FieldFault(name, "no") for name in ("page_token", "page_size", "from_time", "waba_id"))

    answer: Any = problems.of(errors.InvalidArgument("wrong", fields=fields), "r1")

    assert [fault["field"] for fault in answer.json["errors"]] == ["cursor", "limit", "fromDate", "wabaId"]


def test_a_bug_is_logged_and_told_nobody(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR):
        answer: Any = problems.of(ZeroDivisionError("secret 5511987654321"), "r1")

    assert answer.status_code == 500
    assert b"secret" not in answer.get_data()
    assert [(record.message, getattr(record, "request_id", "")) for record in caplog.records] == [
        ("request_failed", "r1")
    ]


def test_what_werkzeug_refuses_is_a_problem_too():
    answer: Any = problems.of(BadRequest(), "r1")

    assert (answer.status_code, answer.json["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("given", ["7", "a1b2-C3.d_4", "x" * 64])
def test_a_callers_own_request_id_is_kept(given: str):
    assert request_id.choose(given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "two words", "ção", "a\nb", 'a"b'])
def test_one_that_is_not_fit_for_logs_is_replaced(given: str | None):
    assert request_id.choose(given) not in (given, request_id.choose(given))


def test_a_request_has_one_id():
    with flask.Flask("test").test_request_context(headers={"X-Request-Id": "mine"}):
        assert request_id.current() == request_id.current() == "mine"
    with flask.Flask("test").test_request_context():
        assert request_id.current() == request_id.current() != ""
