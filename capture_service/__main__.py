"""Run the capture service: the only writer of everything Recado keeps."""

import os
from datetime import UTC, datetime

from capture_service import service, settings
from capture_service.ingest import Ingest
from capture_service.sweep import Sweeper
from plumbing import migrations, postgres, queues, telemetry, tokens
from plumbing.rpc import server


def main() -> None:
    config = settings.load(os.environ)
    telemetry.configure_logging("capture")
    verifier = tokens.Verifier(
        config.auth_secret, jwks_url=config.jwks_url, issuer=config.issuer, audience=config.audience
    )
    pool = postgres.open_pool(
        config.database_url,
        role="recado_capture",
        application_name="recado-capture",
        size_max=config.pool_size,
        statement_timeout_s=30,
        lock_timeout_s=10,
        idle_timeout_s=60,
        acquire_timeout_s=1,
    )
    migrations.check(pool, "capture_service")
    telemetry.serve_metrics(config.metrics_port)

    def clock() -> datetime:
        return datetime.now(UTC)

    queue = queues.Queues(config.redis_url)
    ingest = Ingest(pool, clock=clock, on_outbox=lambda: sweeper.wake())
    sweeper = Sweeper(pool, ingest, queue.enqueue)
    servicer = service.CaptureServicer(pool, ingest, sweeper, clock=clock)

    def stop() -> None:
        sweeper.stop()
        pool.close()

    sweeper.start()
    server.run(
        "capture",
        address=config.listen,
        register=lambda grpc_server: service.register(grpc_server, servicer),
        full_names=[service.FULL_NAME],
        verifier=verifier,
        workers=config.rpc_workers,
        on_stop=stop,
        ready=lambda: postgres.ping(pool),
    )


if __name__ == "__main__":
    main()
