"""The client of the Graph API: what it retries, what it gives up, and what it tells nobody."""

import logging
import socket
import time as real_time
from typing import Any

import pytest

from enrichment_service.graph import Action, Answer, Graph, GraphError, action_of
from tests.enrichment_service.conftest import Time
from tests.enrichment_service.fake_graph import FakeGraph, Reply, answered, refused


def ask(graph: Graph, *, timeout_s: float = 30.0) -> Answer:
    return graph.get(
        "106540352242922",
        "contacts",
        {"wa_id": "5511988887777"},
        access_token="EAAsecret",
        timeout_s=timeout_s,
    )


def refusal(graph: Graph, **more: Any) -> GraphError:
    with pytest.raises(GraphError) as caught:
        ask(graph, **more)
    return caught.value


def test_a_request_names_version_node_and_edge_and_carries_the_token_in_a_header(
    graph: Graph, meta: FakeGraph
):
    meta.will(answered({"data": [{"name": "Ana"}]}))

    answer = ask(graph)

    assert answer == Answer({"data": [{"name": "Ana"}]}, None)
    assert len(meta.asked) == 1
    assert meta.asked[0].path == "/v25.0/106540352242922/contacts"
    assert meta.asked[0].parameters == {"wa_id": ["5511988887777"]}
    assert meta.asked[0].authorization == "Bearer EAAsecret"


def test_a_node_cannot_lead_to_another_path(graph: Graph, meta: FakeGraph):
    graph.get("a/../../me?x=1#", "contacts", {}, access_token="t", timeout_s=5)

    assert meta.asked[0].path == "/v25.0/a%2F..%2F..%2Fme%3Fx%3D1%23/contacts"
    assert meta.asked[0].parameters == {}


@pytest.mark.parametrize(
    "code", [1, 2, 4, 17, 32, 613, 80007, 130429, 131056, 131000, 131016, 131057, 133004]
)
def test_what_may_pass_is_asked_again_with_doubling_pauses(
    graph: Graph, meta: FakeGraph, time: Time, code: int
):
    meta.will(refused(code), refused(code), refused(code), answered({"data": []}))

    assert ask(graph).body == {"data": []}

    assert time.slept_s == [0.5, 1.0, 2.0]


def test_patience_ends(graph: Graph, meta: FakeGraph, time: Time):
    meta.will(refused(131016, status=500))

    error = refusal(graph)

    assert (error.action, error.code, error.is_rate_limit) == (Action.RETRY, 131016, False)
    assert len(meta.asked) == 4


@pytest.mark.parametrize(
    ("code", "action"),
    [
        *((code, Action.REAUTHENTICATE) for code in (0, 190, 10, 3, 200, 299, 131005)),
        *((code, Action.STOP) for code in (368, 131031, 130497, 133010, 131042, 131045)),
        *(
            (code, Action.GIVE_UP)
            for code in (33, 100, 131008, 131009, 131026, 131047, 132000, 133016, 2593107)
        ),
        (987654321, Action.GIVE_UP),
    ],
)
def test_what_a_retry_would_not_help_is_asked_once(
    graph: Graph, meta: FakeGraph, time: Time, code: int, action: Action
):
    meta.will(refused(code))

    error = refusal(graph)

    assert (error.action, error.code) == (action, code)
    assert len(meta.asked) == 1
    assert time.slept_s == []


def test_the_code_counts_and_not_the_http_status(graph: Graph, meta: FakeGraph):
    meta.will(refused(190, status=500))
    assert refusal(graph).action is Action.REAUTHENTICATE

    meta.will(refused(130429, status=200))
    assert refusal(graph).action is Action.RETRY


def test_an_error_that_calls_itself_transient_is_asked_again(graph: Graph, meta: FakeGraph):
    meta.will(refused(100, is_transient=True), answered({"data": []}))

    assert ask(graph).body == {"data": []}


@pytest.mark.parametrize(
    ("code", "status", "action"),
    [
        (None, 500, Action.RETRY),
        (None, 429, Action.RETRY),
        (None, 302, Action.RETRY),
        (None, 200, Action.RETRY),
        (None, 401, Action.REAUTHENTICATE),
        (None, 403, Action.REAUTHENTICATE),
        (None, 404, Action.GIVE_UP),
        (100, 500, Action.RETRY),
        (368, 500, Action.STOP),
    ],
)
def test_without_a_code_that_decides_the_status_does(code: int | None, status: int, action: Action):
    assert action_of(code, status, is_transient=False) is action


def test_retry_after_is_honoured(graph: Graph, meta: FakeGraph, time: Time):
    meta.will(
        Reply(status=429, headers={"Retry-After": "7"}),
        refused(4, headers={"Retry-After": "Mon, 23 Nov 2026 12:00:17 GMT"}),
        answered({"data": []}),
    )

    ask(graph)

    assert time.slept_s == [7.0, 10.0]


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(graph: Graph, meta: FakeGraph, time: Time):
    meta.will(Reply(status=429, headers={"Retry-After": "3600"}))

    error = refusal(graph, timeout_s=20)

    assert error.is_rate_limit
    assert error.rest_s == 3600
    assert time.slept_s == []
    assert len(meta.asked) == 1


@pytest.mark.parametrize("header", ["soon", "-1", "1.5", "²", "Mon, 99 Nov 2026 12:00:00 GMT"])
def test_a_retry_after_that_nobody_understands_is_no_retry_after(
    graph: Graph, meta: FakeGraph, time: Time, header: str
):
    meta.will(Reply(status=503, headers={"Retry-After": header}), answered({}))

    ask(graph)

    assert time.slept_s == [0.5]


def test_a_rate_limit_says_when_it_ends(graph: Graph, meta: FakeGraph):
    usage = '{"1029":[{"type":"management","call_count":100,"estimated_time_to_regain_access":5}]}'
    meta.will(refused(80007, headers={"X-Business-Use-Case-Usage": usage}))

    error = refusal(graph)

    assert (error.code, error.is_rate_limit, error.rest_s) == (80007, True, 300)
    assert len(meta.asked) == 1


@pytest.mark.parametrize(
    ("headers", "rest_s"),
    [
        ({"X-App-Usage": '{"call_count":94,"total_cputime":3,"total_time":12}'}, None),
        ({"X-App-Usage": '{"call_count":10,"total_cputime":97,"total_time":12}'}, 60),
        ({"X-Business-Use-Case-Usage": '{"1":[{"call_count":2}],"2":[{"call_count":99.5}]}'}, 60),
        ({"X-Business-Use-Case-Usage": '{"1":[{"estimated_time_to_regain_access":1e9}]}'}, 86400),
        ({"X-App-Usage": "garbage"}, None),
        ({"X-App-Usage": "[]", "X-Business-Use-Case-Usage": '{"1":{"call_count":100}}'}, None),
        ({"X-App-Usage": '{"call_count":"100"}'}, None),
    ],
)
def test_an_answer_says_when_the_limit_is_near(
    graph: Graph, meta: FakeGraph, headers: dict[str, str], rest_s: float | None
):
    meta.will(answered({"data": []}, headers=headers))

    assert ask(graph).rest_s == rest_s


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b'"data"',
        b'{"data":',
        b"\xff\xfe",
        b"[" * 100_000,
        b"x" * (1 << 20 | 1),
    ],
)
def test_an_answer_that_is_no_object_is_no_answer(graph: Graph, meta: FakeGraph, body: bytes):
    meta.will(Reply(body=body))

    error = refusal(graph)

    assert (error.action, error.code) == (Action.RETRY, None)


@pytest.mark.parametrize(
    "body",
    [b'{"error":null,"data":1}', b'{"data":1}'],
)
def test_an_empty_error_is_none(graph: Graph, meta: FakeGraph, body: bytes):
    meta.will(Reply(body=body))

    assert ask(graph).body["data"] == 1


@pytest.mark.parametrize(
    "error", [b'"down"', b"[190]", b'{"code":"190"}', b'{"code":true}', b'{"code":1e400}', b"0"]
)
def test_a_malformed_error_envelope_is_an_error_all_the_same(graph: Graph, meta: FakeGraph, error: bytes):
    meta.will(Reply(status=400, body=b'{"error":' + error + b"}"))

    assert refusal(graph).code is None


def test_a_redirect_is_not_followed(graph: Graph, meta: FakeGraph):
    meta.will(Reply(status=302, headers={"Location": meta.url + "/elsewhere"}))

    assert refusal(graph).action is Action.RETRY
    assert {asked.path for asked in meta.asked} == {"/v25.0/106540352242922/contacts"}


def test_a_dropped_connection_is_tried_again(graph: Graph, meta: FakeGraph):
    meta.will(Reply(drops_connection=True), answered({"data": []}))

    assert ask(graph).body == {"data": []}


def test_nobody_listening_is_an_error_that_may_pass(time: Time):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        graph = Graph(
            f"http://127.0.0.1:{taken.getsockname()[1]}", "v25.0", sleep=time.sleep, monotonic=time.monotonic
        )

        error = refusal(graph)

    assert (error.action, error.code, error.is_rate_limit) == (Action.RETRY, None, False)
    assert len(time.slept_s) == 3
    graph.close()


def test_no_answer_is_waited_for_beyond_the_deadline(meta: FakeGraph):
    meta.will(Reply(delay_s=2))
    graph = Graph(meta.url, "v25.0")
    started = real_time.monotonic()

    error = refusal(graph, timeout_s=0.2)

    assert error.action is Action.RETRY
    assert real_time.monotonic() - started < 1
    graph.close()


def test_an_answer_that_trickles_in_does_not_hold_the_caller(meta: FakeGraph):
    meta.will(Reply(body=b" " * 1000 + b"{}", byte_delay_s=0.02))
    graph = Graph(meta.url, "v25.0")
    started = real_time.monotonic()

    error = refusal(graph, timeout_s=0.2)

    assert error.action is Action.RETRY
    assert real_time.monotonic() - started < 2
    graph.close()


def test_a_netrc_does_not_replace_the_token(
    meta: FakeGraph, time: Time, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    graph = Graph(meta.url, "v25.0", sleep=time.sleep)
    graph._session.trust_env = True

    ask(graph)

    assert meta.asked[0].authorization == "Bearer EAAsecret"
    graph.close()


def test_neither_errors_nor_logs_tell_token_or_number(
    graph: Graph, meta: FakeGraph, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    meta.will(refused(100, message="(#100) 5511988887777 is unknown to EAAsecret"))

    error = refusal(graph)

    told = str(error) + repr(error.args) + caplog.text
    assert "5511988887777" not in told
    assert "EAAsecret" not in told
