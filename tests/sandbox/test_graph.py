"""The stand-in of the Graph API answers as Meta does, and misbehaves when told to."""

from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from recado.sandbox import graph, people

NODE = f"/v25.0/{people.SHOP.phone_number_id}"
TOKEN = {"Authorization": "Bearer EAASandbox"}


def error_of(answer: TestResponse) -> dict[str, Any]:
    assert answer.json is not None
    return answer.json["error"]


@pytest.fixture
def meta() -> FlaskClient:
    return graph.create_app(graph.State()).test_client()


def test_the_contacts_edge_does_not_exist(meta: FlaskClient):
    answer = meta.get(f"{NODE}/contacts?wa_id=5511985550177", headers=TOKEN)

    assert answer.status_code == 400
    assert error_of(answer)["code"] == 100
    assert error_of(answer)["type"] == "OAuthException"
    assert error_of(answer)["fbtrace_id"]


def test_the_contacts_edge_answers_once_a_profile_is_set(meta: FlaskClient):
    profile = {"wa_id": "5511985550177", "profile": {"name": "João"}}

    meta.put("/_sandbox/profiles/5511985550177", json=profile)
    known = meta.get(f"{NODE}/contacts?wa_id=5511985550177", headers=TOKEN)
    unknown = meta.get(f"{NODE}/contacts?wa_id=5511985550178", headers=TOKEN)

    assert known.json == {"data": [profile]}
    assert unknown.json == {"data": []}


def test_a_number_answers_the_fields_asked_for_and_its_id(meta: FlaskClient):
    answer = meta.get(f"{NODE}?fields=is_on_biz_app,platform_type,unheard_of", headers=TOKEN)

    assert answer.status_code == 200
    assert answer.json == {
        "is_on_biz_app": True,
        "platform_type": "CLOUD_API",
        "id": people.SHOP.phone_number_id,
    }
    assert "call_count" in answer.headers["X-App-Usage"]


def test_a_number_that_is_not_there_is_refused(meta: FlaskClient):
    answer = meta.get("/v25.0/1?fields=id", headers=TOKEN)

    assert answer.status_code == 400
    assert error_of(answer)["error_subcode"] == 33


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer "}])
def test_nothing_is_answered_without_a_token(meta: FlaskClient, headers: dict[str, str]):
    answer = meta.get(f"{NODE}/contacts", headers=headers)

    assert answer.status_code == 401
    assert error_of(answer)["code"] == 2500


def test_an_edge_nobody_wrote_is_unsupported(meta: FlaskClient):
    answer = meta.post(f"{NODE}/nonsense", headers=TOKEN)

    assert answer.status_code == 400
    assert error_of(answer)["code"] == 100


def test_a_fault_is_answered_as_often_as_it_was_set(meta: FlaskClient):
    fault = {"code": 80007, "message": "Rate limit issues", "is_transient": True}
    behaviour = {
        "edge": "contacts",
        "status": 429,
        "error": fault,
        "times": 2,
        "headers": {"Retry-After": "60"},
    }

    meta.post("/_sandbox/behaviours", json=behaviour)
    answers = [meta.get(f"{NODE}/contacts", headers=TOKEN) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429, 429, 400]
    assert answers[0].json == {"error": fault}
    assert answers[0].headers["Retry-After"] == "60"
    assert error_of(answers[2])["code"] == 100


def test_a_fault_of_one_edge_leaves_the_others_alone(meta: FlaskClient):
    meta.post("/_sandbox/behaviours", json={"edge": "contacts", "status": 500, "error": {"code": 1}})

    assert meta.get(NODE, headers=TOKEN).status_code == 200


def test_a_behaviour_that_is_not_understood_is_refused(meta: FlaskClient):
    assert meta.post("/_sandbox/behaviours", json={"surprise": 1}).status_code == 400


def test_a_reset_forgets_everything(meta: FlaskClient):
    meta.post("/_sandbox/behaviours", json={"status": 500, "error": {"code": 1}})
    meta.put("/_sandbox/profiles/1", json={})

    meta.post("/_sandbox/reset")

    assert error_of(meta.get(f"{NODE}/contacts", headers=TOKEN))["code"] == 100


def test_tests_can_read_what_was_asked_but_not_with_which_token(meta: FlaskClient):
    meta.get(f"{NODE}/contacts", headers=TOKEN)

    seen = meta.get("/_sandbox/requests")

    assert seen.json == [{"method": "GET", "path": f"{NODE}/contacts", "has_token": True, "status": 400}]
    assert "EAASandbox" not in seen.text


def test_it_listens_where_it_is_told_to():
    server = graph.serve(graph.create_app(graph.State()), "127.0.0.1", 0)
    try:
        answer = requests.get(f"http://127.0.0.1:{server.server_port}{NODE}", headers=TOKEN, timeout=5)
    finally:
        server.shutdown()
        server.server_close()

    assert answer.status_code == 200
