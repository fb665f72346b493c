"""What the capture service reads from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from plumbing import settings, tokens


@dataclass(frozen=True, slots=True)
class Settings:
    database_url: str
    redis_url: str
    auth_secret: str
    jwks_url: str
    """Where an identity provider's keys are; "" without one."""
    issuer: str
    audience: str
    """What the provider's tokens must say; "" for whatever they say."""
    listen: str
    metrics_port: int
    rpc_workers: int
    pool_size: int


def load(environ: Mapping[str, str]) -> Settings:
    """Raises settings.SettingsError listing every fault at once."""
    with settings.read(environ) as env:
        return Settings(
            database_url=env.secret("RECADO_DATABASE_URL"),
            redis_url=env.secret("RECADO_REDIS_URL"),
            auth_secret=env.secret("RECADO_AUTH_SECRET"),
            jwks_url=env.parsed("RECADO_AUTH_JWKS_URL", "", tokens.check_jwks_url),
            issuer=tokens.read_expected(env, "RECADO_AUTH_ISSUER"),
            audience=tokens.read_expected(env, "RECADO_AUTH_AUDIENCE"),
            listen=env.address("RECADO_LISTEN", "127.0.0.1:50051"),
            metrics_port=env.integer("RECADO_METRICS_PORT", 0, at_least=0, at_most=65535),
            rpc_workers=env.integer("RECADO_RPC_WORKERS", 16, at_least=2, at_most=256),
            pool_size=env.integer("RECADO_POOL_SIZE", 8, at_least=2, at_most=100),
        )
