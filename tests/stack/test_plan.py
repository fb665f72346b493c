"""What each process of the stack is told: no secret that it has no use for, no secret in its arguments."""

import os
from pathlib import Path

import pytest

from recado.stack.folder import Folder
from recado.stack.plan import Plan
from recado.stack.processes import Program
from recado.stack.supervisor import Declared


def programs(plan: Plan) -> dict[str, Program]:
    return {item.name: item.declare() for item in plan.items() if isinstance(item, Declared)}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "data")
    os.close(folder.lock())
    return folder


def plan_for(folder: Folder, environ: dict[str, str], *, has_sandbox: bool = True) -> Plan:
    return Plan(folder, environ, host="127.0.0.1", port=8080, has_sandbox=has_sandbox)


OUTSIDE = {"RECADO_DATABASE_URL": "postgresql://db.example/recado", "RECADO_REDIS_URL": "redis://r.example"}


def test_everything_starts_in_the_order_in_which_it_is_needed(folder: Folder) -> None:
    names = [item.name for item in plan_for(folder, {}).items()]

    assert names == [
        "postgres",
        "valkey",
        "migrations",
        "capture",
        "enrichment",
        "history",
        "worker",
        "exporter",
        "gateway",
        "sandbox",
    ]


def test_a_database_and_a_redis_of_the_operator_are_used_instead_of_ours(folder: Folder) -> None:
    found = programs(plan_for(folder, OUTSIDE, has_sandbox=False))

    assert list(found) == ["capture", "enrichment", "history", "worker", "exporter", "gateway"]
    assert found["capture"].environment["RECADO_DATABASE_URL"] == OUTSIDE["RECADO_DATABASE_URL"]
    assert found["worker"].environment["RECADO_REDIS_URL"] == OUTSIDE["RECADO_REDIS_URL"]


def test_only_enrichment_can_open_an_access_token(folder: Folder) -> None:
    environ = {**OUTSIDE, "RECADO_TOKEN_KEYS": "k9:of-the-operator"}

    found = programs(plan_for(folder, environ))

    assert [name for name, program in found.items() if "RECADO_TOKEN_KEYS" in program.environment] == [
        "enrichment"
    ]
    assert found["enrichment"].environment["RECADO_TOKEN_KEYS"] == "k9:of-the-operator"


def test_the_gateway_knows_no_database(folder: Folder) -> None:
    found = programs(plan_for(folder, {}))

    assert [name for name, program in found.items() if "RECADO_DATABASE_URL" in program.environment] == [
        "capture",
        "enrichment",
        "history",
    ]


def test_each_service_has_a_login_of_its_own(folder: Folder) -> None:
    found = programs(plan_for(folder, {}))

    urls = {found[name].environment["RECADO_DATABASE_URL"] for name in ("capture", "enrichment", "history")}
    assert len(urls) == 3
    assert not any("recado:" in url for url in urls)


def test_no_secret_stands_in_the_arguments_of_a_process(folder: Folder) -> None:
    plan = plan_for(folder, {})
    kept = [line.partition("=")[2] for line in folder.secrets.read_text().splitlines()]

    for program in programs(plan).values():
        assert not any(secret in argument for secret in kept for argument in program.command)


def test_the_sandbox_stands_in_for_the_graph_unless_the_operator_names_one(folder: Folder) -> None:
    ours = programs(plan_for(folder, OUTSIDE))
    theirs = programs(plan_for(folder, {**OUTSIDE, "RECADO_GRAPH_URL": "https://graph.example"}))
    alone = programs(plan_for(folder, OUTSIDE, has_sandbox=False))

    assert ours["enrichment"].environment["RECADO_GRAPH_URL"].startswith("http://127.0.0.1:")
    assert theirs["enrichment"].environment["RECADO_GRAPH_URL"] == "https://graph.example"
    assert "RECADO_GRAPH_URL" not in alone["enrichment"].environment
