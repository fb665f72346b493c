"""What runs in containers is shut off, watched, and told its secrets by files."""

import itertools
import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from capture_service import settings as capture
from enrichment_service import settings as enrichment
from gateway import settings as gateway
from history_service import settings as history
from plumbing.crypto import Keyring
from plumbing.settings import Environment
from protos import jobs
from recado import logins, worker
from recado.stack import credentials
from tests.house import compose_file
from tests.house.tree import PACKAGES, ROOT

PROCESSES = {"gateway", "capture", "enrichment", "history", "worker", "exporter"}
WORKERS = {"worker", "exporter"}
LOADERS = {
    "gateway": gateway.load,
    "capture": capture.load,
    "enrichment": enrichment.load,
    "history": history.load,
    "worker": worker.load,
    "exporter": worker.load,
}
VARIABLE = re.compile(r"\$\{[A-Z_]+:-[^}]+\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return compose_file.load()


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return compose["services"]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    subprocess.run([ROOT / "deploy/make-secrets", tmp_path / "made"], check=True, capture_output=True)
    return tmp_path / "made"


def by_default(text: str) -> str:
    return re.sub(r"\$\{[A-Z_]+:-([^}]+)\}", r"\1", text)


def test_everything_that_recado_is_made_of_runs(services: dict[str, dict[str, Any]]):
    assert services.keys() == PROCESSES | {"migrate", "postgres", "redis"}
    assert {name: services[name]["command"] for name in PROCESSES} == {
        name: ["serve", "worker" if name in WORKERS else name] for name in PROCESSES
    }
    queues = [services[name]["environment"]["RECADO_QUEUES"].split(",") for name in sorted(WORKERS)]
    assert sorted(itertools.chain(*queues)) == sorted(jobs.QUEUES)


def test_only_the_gateway_is_published_and_by_default_on_this_machine_alone(
    services: dict[str, dict[str, Any]],
):
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert published == {"gateway": ["${RECADO_PUBLISH:-127.0.0.1:8080}:8080"]}
    assert not any("network_mode" in service for service in services.values())


def test_only_whoever_talks_to_the_outside_can(compose: dict[str, Any], services: dict[str, dict[str, Any]]):
    internal = {name for name, network in compose["networks"].items() if network.get("internal") is True}

    outside = {name for name, service in services.items() if not set(service["networks"]) <= internal}

    assert outside == {"gateway", "enrichment"}
    assert (
        "data"
        not in services["gateway"]["networks"]
        + services["worker"]["networks"]
        + services["exporter"]["networks"]
    )


def test_everything_that_stays_is_watched_and_started_again(services: dict[str, dict[str, Any]]):
    for name in services.keys() - {"migrate"}:
        assert services[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert services[name]["restart"] == "unless-stopped", name
    for name in ("capture", "enrichment", "history"):
        assert services[name]["healthcheck"]["test"][-2:] == ["plumbing.rpc.health", "127.0.0.1:50051"]


def test_nothing_starts_before_the_schema_is_there(services: dict[str, dict[str, Any]]):
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("capture", "enrichment", "history"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_nothing_may_more_than_it_must(services: dict[str, dict[str, Any]]):
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.keys() & {"privileged", "devices", "pid", "ipc", "userns_mode"}, name
    assert not any("cap_add" in services[name] for name in PROCESSES | {"migrate"})


def test_every_image_is_a_variable(services: dict[str, dict[str, Any]]):
    for name, service in services.items():
        assert VARIABLE.fullmatch(service["image"]), name
    assert {
        service["build"]["args"]["BASE_IMAGE"] for service in services.values() if "build" in service
    } == {"${BASE_IMAGE:-python:3.14-slim}"}
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    assert set(bases) == {"${BASE_IMAGE}"}


def test_secrets_are_files_and_given_to_those_who_read_them(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
):
    for name, service in services.items():
        given = set(service["secrets"])
        environment = service.get("environment", {})
        read = {value for key, value in environment.items() if key.endswith("_FILE")}
        read |= (
            set(re.findall(r"/run/secrets/\w+", json.dumps([service["command"], service["healthcheck"]])))
            if (name == "redis")
            else set()
        )

        assert read == {f"/run/secrets/{secret}" for secret in given}, name
        assert not environment.keys() & credentials.NAMES, name
        assert given <= compose["secrets"].keys()
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())


def test_the_database_is_owned_by_nobody_who_serves(services: dict[str, dict[str, Any]]):
    owners = {name for name, service in services.items() if "owner_database_url" in service["secrets"]}
    opens_tokens = {name for name, service in services.items() if "token_keys" in service["secrets"]}

    assert owners == {"migrate"}
    assert opens_tokens == {"enrichment"}


def test_every_secret_is_made(compose: dict[str, Any], secrets: Path):
    wanted = {Path(secret["file"]).name for secret in compose["secrets"].values()}

    assert {file.name for file in secrets.iterdir()} == wanted
    assert {by_default(secret["file"]).rpartition("/")[0] for secret in compose["secrets"].values()} == {
        "./deploy/secrets"
    }
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o444}


def test_secrets_are_kept_and_never_shown(secrets: Path):
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    (secrets / "auth_secret").unlink()

    again = subprocess.run(
        [ROOT / "deploy/make-secrets", secrets], check=True, capture_output=True, text=True
    )

    after = {file.name: file.read_text() for file in secrets.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"auth_secret"}
    assert again.stderr == ""
    assert again.stdout == f"made {secrets}/auth_secret\n"
    assert len(set(after.values())) == len(after)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_every_process_starts_with_what_it_is_told(
    services: dict[str, dict[str, Any]], secrets: Path, name: str
):
    environ = {
        key: by_default(value).replace("/run/secrets", str(secrets))
        for key, value in services[name]["environment"].items()
    }

    LOADERS[name](environ)


@pytest.mark.parametrize("name", sorted(PROCESSES - WORKERS))
def test_whoever_verifies_tokens_can_be_told_of_an_identity_provider(
    services: dict[str, dict[str, Any]], secrets: Path, name: str
):
    added = compose_file.load("deploy/compose.identity.yaml")["services"][name]
    asked = {
        "RECADO_AUTH_JWKS_URL": "https://id.example/keys",
        "RECADO_AUTH_ISSUER": "i",
        "RECADO_AUTH_AUDIENCE": "a",
    }
    assert added["environment"] == {variable: f"${{{variable}:?}}" for variable in asked}
    assert added["networks"] == ["outside"]
    environ = {
        key: by_default(value).replace("/run/secrets", str(secrets))
        for key, value in services[name]["environment"].items()
    }

    loaded: Any = LOADERS[name](environ | asked)

    assert [loaded.jwks_url, loaded.issuer, loaded.audience] == list(asked.values())


def test_each_service_comes_with_the_login_that_was_made_for_it(
    services: dict[str, dict[str, Any]], secrets: Path
):
    told = services["migrate"]["environment"]

    for service in logins.SERVICES:
        url_file = told[f"RECADO_{service.upper()}_DATABASE_URL_FILE"]
        assert services[service]["environment"]["RECADO_DATABASE_URL_FILE"] == url_file
        url = (secrets / Path(url_file).name).read_text()
        assert url.startswith(f"postgresql://recado_{service}_login:")
    assert (secrets / "postgres_password").read_text().strip() in (secrets / "owner_database_url").read_text()
    Keyring.parse(Environment({"K_FILE": str(secrets / "token_keys")}).secret("K"))


def test_the_image_holds_every_package_and_no_root():
    text = (ROOT / "Containerfile").read_text()

    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE))

    assert copied == set(PACKAGES)
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    assert "--require-hashes" in text
    for name in (".dockerignore", ".containerignore"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
        assert lines[0] == "*", name
        assert {line[1:] for line in lines if line.startswith("!")} == {
            *PACKAGES,
            "requirements.lock",
            "pyproject.toml",
            "README.md",
            "LICENSE",
        }


@pytest.mark.parametrize("text", ["a:\n  - b\n", "a: b\n", "a: 1\na: 2\n", "a:\n    b: 1\n", "a: *nobody\n"])
def test_the_reader_of_these_tests_refuses_what_it_does_not_understand(text: str):
    with pytest.raises((ValueError, KeyError)):
        compose_file.parse(text)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_docker_compose_reads_it_the_same_way(services: dict[str, dict[str, Any]]):
    shown = subprocess.run(
        ["docker-compose", "config", "--services"],
        cwd=ROOT,
        env={**os.environ, "COMPOSE_PROJECT_NAME": "recado"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(shown.stdout.split()) == services.keys()
