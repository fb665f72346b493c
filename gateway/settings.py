"""What the gateway reads from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plumbing import settings, tokens
from plumbing.limits import Rate

ANY_ORIGIN: Final = "*"
_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    host: str
    port: int
    workers: int
    metrics_port: int
    app_secrets: tuple[bytes, ...]
    verify_token: str
    auth_secret: str
    jwks_url: str
    """Where an identity provider's keys are; "" without one."""
    issuer: str = ""
    audience: str = ""
    """What the provider's tokens must say; "" for whatever they say."""
    capture_address: str
    history_address: str
    redis_url: str
    """"" counts requests in each process alone."""
    limit_user: Rate
    limit_ip: Rate
    is_limit_ip_for_all: bool
    trusted_proxies: int
    cors_origins: frozenset[str]
    """Of the pages that may ask the API; "*" for all."""
    exports_folder: Path | None
    """Shared with the worker."""


def load(environ: Mapping[str, str]) -> Settings:
    """Raises settings.SettingsError listing every fault at once."""
    with settings.read(environ) as env:
        app_secrets = env.secret("RECADO_META_APP_SECRET")
        found = Settings(
            host=env.text("RECADO_HOST", "127.0.0.1"),
            port=env.integer("RECADO_PORT", 8080, at_least=1, at_most=65535),
            workers=env.integer("RECADO_GATEWAY_WORKERS", 2, at_least=1, at_most=64),
            metrics_port=env.integer("RECADO_METRICS_PORT", 0, at_least=0, at_most=65535),
            # Two while the secret is being rotated.
            app_secrets=tuple(part.strip().encode() for part in app_secrets.split(",") if part.strip()),
            verify_token=env.secret("RECADO_META_VERIFY_TOKEN"),
            auth_secret=env.secret("RECADO_AUTH_SECRET", check=tokens.check_secret),
            jwks_url=env.parsed("RECADO_AUTH_JWKS_URL", "", tokens.check_jwks_url),
            issuer=tokens.read_expected(env, "RECADO_AUTH_ISSUER"),
            audience=tokens.read_expected(env, "RECADO_AUTH_AUDIENCE"),
            capture_address=env.address("RECADO_CAPTURE_ADDRESS"),
            history_address=env.address("RECADO_HISTORY_ADDRESS"),
            redis_url=env.secret("RECADO_REDIS_URL", default=""),
            limit_user=env.parsed("RECADO_LIMIT_USER", "100/minute", Rate.parse),
            limit_ip=env.parsed("RECADO_LIMIT_IP", "1000/hour", Rate.parse),
            is_limit_ip_for_all=env.flag("RECADO_LIMIT_IP_FOR_ALL", False),
            cors_origins=env.parsed("RECADO_CORS_ORIGINS", ANY_ORIGIN, _read_origins),
            exports_folder=Path(folder) if (folder := env.text("RECADO_EXPORTS_DIR", "")) else None,
            trusted_proxies=env.integer("RECADO_TRUSTED_PROXIES", 0, at_least=0, at_most=10),
        )
        if app_secrets and not found.app_secrets:
            env.faults.append("RECADO_META_APP_SECRET holds no secret")
    return found


def _read_origins(text: str) -> frozenset[str]:
    """Read "*", "none", or origins with commas between them."""
    if text == "none":
        return frozenset()
    origins = frozenset(part.strip() for part in text.split(","))
    for origin in sorted(origins - {ANY_ORIGIN}):
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin} is no origin, such as https://crm.example without a slash at its end")
    return origins
