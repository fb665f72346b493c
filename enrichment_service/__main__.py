"""Run the enrichment service: the only process that talks to the Graph API."""

import os
from datetime import UTC, datetime

from enrichment_service import graph, service, settings
from plumbing import migrations, postgres, telemetry, tokens
from plumbing.rpc import server


def main() -> None:
    config = settings.load(os.environ)
    telemetry.configure_logging("enrichment")
    verifier = tokens.Verifier(
        config.auth_secret, jwks_url=config.jwks_url, issuer=config.issuer, audience=config.audience
    )
    pool = postgres.open_pool(
        config.database_url,
        role="recado_enrichment",
        application_name="recado-enrichment",
        size_max=config.pool_size,
        statement_timeout_s=10,
        lock_timeout_s=5,
        idle_timeout_s=30,
        acquire_timeout_s=1,
    )
    migrations.check(pool, "enrichment_service")
    telemetry.serve_metrics(config.metrics_port)
    client = graph.Graph(config.graph_url, config.graph_version, connections_max=config.rpc_workers)
    servicer = service.EnrichmentServicer(pool, client, config.keyring, clock=lambda: datetime.now(UTC))

    def stop() -> None:
        client.close()
        pool.close()

    server.run(
        "enrichment",
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
