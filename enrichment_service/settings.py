"""What the enrichment service reads from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from plumbing import settings
from plumbing.crypto import Keyring


@dataclass(frozen=True, slots=True)
class Settings:
    database_url: str
    auth_secret: str
    keyring: Keyring
    graph_url: str
    graph_version: str
    listen: str
    metrics_port: int
    rpc_workers: int
    pool_size: int


def load(environ: Mapping[str, str]) -> Settings:
    """Raises settings.SettingsError listing every fault at once."""
    with settings.read(environ) as env:
        token_keys = env.secret("RECADO_TOKEN_KEYS")
        graph_url = env.text("RECADO_GRAPH_URL", "https://graph.facebook.com")
        if not graph_url.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
            env.faults.append("RECADO_GRAPH_URL must be https (plain http only on this machine)")
        keyring = None
        if token_keys:
            try:
                keyring = Keyring.parse(token_keys)
            except ValueError as error:
                env.faults.append(f"RECADO_TOKEN_KEYS: {error}")
        return Settings(
            database_url=env.secret("RECADO_DATABASE_URL"),
            auth_secret=env.secret("RECADO_AUTH_SECRET"),
            keyring=keyring or Keyring({"none": bytes(32)}),
            graph_url=graph_url.rstrip("/"),
            graph_version=env.text("RECADO_GRAPH_VERSION", "v25.0"),
            listen=env.address("RECADO_LISTEN", "127.0.0.1:50052"),
            metrics_port=env.integer("RECADO_METRICS_PORT", 0, at_least=0, at_most=65535),
            rpc_workers=env.integer("RECADO_RPC_WORKERS", 8, at_least=2, at_most=256),
            pool_size=env.integer("RECADO_POOL_SIZE", 4, at_least=1, at_most=100),
        )
