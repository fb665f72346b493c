"""Run the history service."""

import os
from datetime import UTC, datetime

from history_service import audit, service, settings
from plumbing import migrations, postgres, telemetry, tokens
from plumbing.rpc import server


def main() -> None:
    config = settings.load(os.environ)
    telemetry.configure_logging("history")
    verifier = tokens.Verifier(
        config.auth_secret, jwks_url=config.jwks_url, issuer=config.issuer, audience=config.audience
    )
    pool = postgres.open_pool(
        config.database_url,
        role="recado_history",
        application_name="recado-history",
        size_max=config.pool_size,
        statement_timeout_s=10,
        lock_timeout_s=2,
        idle_timeout_s=30,
        acquire_timeout_s=1,
    )
    migrations.check(pool, "capture_service")
    telemetry.serve_metrics(config.metrics_port)
    recording = postgres.open_pool(
        config.database_url,
        role="recado_history",
        application_name="recado-history-audit",
        size_max=1,
        statement_timeout_s=5,
        lock_timeout_s=2,
        idle_timeout_s=30,
        acquire_timeout_s=1,
    )
    recorder = audit.Recorder(recording)
    servicer = service.HistoryServicer(pool, recorder, clock=lambda: datetime.now(UTC))

    def stop() -> None:
        recorder.stop()
        for opened in (pool, recording):
            opened.close()

    server.run(
        "history",
        address=config.listen,
        register=lambda grpc_server: service.register(grpc_server, servicer),
        full_names=[service.FULL_NAME],
        verifier=verifier,
        workers=config.rpc_workers,
        on_stopping=servicer.stop,
        on_stop=stop,
        ready=lambda: postgres.ping(pool),
    )


if __name__ == "__main__":
    main()
