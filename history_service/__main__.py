"""Run the history service: pages and leads, read only."""

import os
from datetime import UTC, datetime

from history_service import service, settings
from plumbing import migrations, postgres, telemetry, tokens
from plumbing.rpc import server


def main() -> None:
    config = settings.load(os.environ)
    telemetry.configure_logging("history")
    verifier = tokens.Verifier(config.auth_secret)
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
    servicer = service.HistoryServicer(pool, clock=lambda: datetime.now(UTC))
    server.run(
        "history",
        address=config.listen,
        register=lambda grpc_server: service.register(grpc_server, servicer),
        full_names=[service.FULL_NAME],
        verifier=verifier,
        workers=config.rpc_workers,
        on_stop=pool.close,
        ready=lambda: postgres.ping(pool),
    )


if __name__ == "__main__":
    main()
