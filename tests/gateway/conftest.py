"""The gateway over real services: capture and history in this process, PostgreSQL beside it."""

import dataclasses
import hashlib
import hmac
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask.testing
import psycopg
import pytest

import capture_service.service
import history_service.audit
import history_service.service
from capture_service import merging, recovery
from capture_service.ingest import Ingest
from capture_service.sweep import Sweeper
from gateway import app, settings
from gateway.backends import Backends
from plumbing import postgres, tokens
from plumbing.limits import Rate
from plumbing.rpc import server
from protos import jobs
from tests import wire

APP_SECRET = b"of the app"
OLD_APP_SECRET = b"of the app, before"
VERIFY_TOKEN = "of the callback"
API = "/api/v1/whatsapp"


class System:
    """A gateway to send requests to, and the jobs that it has started."""

    def __init__(
        self,
        client: flask.testing.FlaskClient,
        another: Callable[..., Any],
        capture: server.Server,
        run_sync: Callable[[str, str], None],
        run_jobs: Callable[[], None],
        execute: Callable[[str], Any],
        ingest: Ingest,
        pool: postgres.Pool,
        sweeper: Sweeper,
        history_address: str,
    ) -> None:
        """`run_sync(tenant, sync_id)` and `run_jobs()`, which merges leads and applies what is pending, do
        the worker's part; `execute` asks the database as its owner."""
        # Its answers are JSON wherever a test reads them: flask cannot know.
        self.client: Any = client
        # Makes the client of a gateway that differs from this one in some settings.
        self.another = another
        self.capture = capture
        self.run_sync = run_sync
        self.run_jobs = run_jobs
        self.execute = execute
        self.ingest = ingest
        self.pool = pool
        self.sweeper = sweeper
        self.history_address = history_address

    def post_webhook(self, body: bytes, *, secret: bytes = APP_SECRET) -> Any:
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        return self.client.post(
            "/webhooks/whatsapp", data=body, headers={"X-Hub-Signature-256": f"sha256={signature}"}
        )

    def get(self, path: str, token: str | None, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.get(f"{API}{path}", query_string=query, headers=headers)

    def post(self, path: str, token: str | None, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.post(f"{API}{path}", json=body, headers=headers)

    def register(
        self,
        token: str,
        number_id: str = wire.NUMBER_ID,
        waba_id: str = wire.WABA_ID,
        display_number: str = wire.BUSINESS,
    ) -> str:
        answer = self.post(
            "/instances",
            token,
            {
                "wabaId": waba_id,
                "phoneNumberId": number_id,
                "displayPhoneNumber": display_number,
                "name": "Padaria Aurora",
            },
        )
        assert answer.status_code == 201, answer.text
        return answer.json["id"]

    def leads(self, token: str, **query: Any) -> list[dict[str, Any]]:
        answer = self.get("/leads", token, **query)
        assert answer.status_code == 200, answer.text
        return answer.json["leads"]

    def page(self, token: str, lead_id: str, **query: Any) -> dict[str, Any]:
        answer = self.get("/conversations/sync", token, leadId=lead_id, **query)
        assert answer.status_code == 200, answer.text
        return answer.json

    def walk(self, token: str, lead_id: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield every message of a lead, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self.page(token, lead_id, **query, **cursor)
            yield from page["messages"]
            if not page["pagination"]["hasMore"]:
                return
            cursor = {"cursor": page["pagination"]["cursor"]}


def _pool(dsn: str, role: str) -> Any:
    return postgres.open_pool(
        dsn,
        role=role,
        application_name="test",
        size_max=4,
        statement_timeout_s=20,
        lock_timeout_s=10,
        idle_timeout_s=60,
        acquire_timeout_s=1,
    )


@pytest.fixture
def system(
    database: str, database_url_for: Callable[[str], str], auth_secret: str, tmp_path: Path
) -> Iterator[System]:
    def clock() -> datetime:
        return datetime.now(UTC)

    verifier = tokens.Verifier(auth_secret)
    writing = _pool(database_url_for("recado_capture"), "recado_capture")
    reading = _pool(database_url_for("recado_history"), "recado_history")
    recording = _pool(database_url_for("recado_history"), "recado_history")
    recorder = history_service.audit.Recorder(recording)
    history_servicer = history_service.service.HistoryServicer(reading, recorder, clock=clock)
    ingest = Ingest(writing, clock=clock, on_outbox=lambda: None)
    sweeper = Sweeper(writing, ingest, lambda job, job_id, arguments: None)
    capture = server.start(
        "capture",
        address="127.0.0.1:0",
        register=lambda grpc_server: capture_service.service.register(
            grpc_server, capture_service.service.CaptureServicer(writing, ingest, sweeper, clock=clock)
        ),
        full_names=[capture_service.service.FULL_NAME],
        verifier=verifier,
        workers=8,
    )
    history = server.start(
        "history",
        address="127.0.0.1:0",
        register=lambda grpc_server: history_service.service.register(grpc_server, history_servicer),
        full_names=[history_service.service.FULL_NAME],
        verifier=verifier,
        workers=8,
        on_stopping=history_servicer.stop,
    )
    config = settings.Settings(
        host="127.0.0.1",
        port=1,
        workers=1,
        metrics_port=0,
        app_secrets=(APP_SECRET, OLD_APP_SECRET),
        verify_token=VERIFY_TOKEN,
        auth_secret=auth_secret,
        capture_address=capture.address,
        history_address=history.address,
        jwks_url="",
        redis_url="",
        limit_user=Rate(1_000_000, 60),
        limit_ip=Rate(1_000_000, 60),
        is_limit_ip_for_all=False,
        trusted_proxies=0,
        cors_origins=frozenset({"*"}),
        exports_folder=tmp_path,
    )
    backends = Backends(
        capture_address=capture.address, history_address=history.address, auth_secret=auth_secret
    )
    with psycopg.connect(database, autocommit=True) as conn:

        def run_sync(tenant: str, sync_id: str) -> None:
            recovery.run_sync(ingest, writing, tenant=tenant, sync_id=uuid.UUID(sync_id), clock=clock)

        def run_jobs() -> None:
            rows = conn.execute("SELECT job, arguments FROM outbox ORDER BY id").fetchall()
            for job, arguments in rows:
                if job == jobs.MERGE_LEADS.name:
                    merging.merge(
                        writing,
                        tenant=arguments["tenant"],
                        leads=(uuid.UUID(arguments["lead_id"]), uuid.UUID(arguments["other_lead_id"])),
                        outbox_id=uuid.UUID(arguments["outbox_id"]),
                        now=clock(),
                    )
                elif job == jobs.APPLY_WEBHOOK.name:
                    recovery.apply_webhook(
                        ingest, writing, tenant=arguments["tenant"], batch_id=uuid.UUID(arguments["batch_id"])
                    )

        yield System(
            app.create(config, backends).test_client(),
            lambda **how: app.create(dataclasses.replace(config, **how), backends).test_client(),
            capture,
            run_sync,
            run_jobs,
            lambda statement: conn.execute(statement.encode()),
            ingest,
            writing,
            sweeper,
            history.address,
        )
    history.stop()
    capture.stop()
    recorder.stop()
    reading.close()
    recording.close()
    writing.close()
