"""What the enrichment service reads from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from plumbing import settings, tokens
from plumbing.crypto import Keyring

_THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Settings:
    database_url: str
    auth_secret: str
    jwks_url: str
    """Where an identity provider's keys are; "" without one."""
    issuer: str
    audience: str
    """What the provider's tokens must say; "" for whatever they say."""
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
        return Settings(
            database_url=env.secret("RECADO_DATABASE_URL"),
            auth_secret=env.secret("RECADO_AUTH_SECRET"),
            jwks_url=env.parsed("RECADO_AUTH_JWKS_URL", "", tokens.check_jwks_url),
            issuer=tokens.read_expected(env, "RECADO_AUTH_ISSUER"),
            audience=tokens.read_expected(env, "RECADO_AUTH_AUDIENCE"),
            keyring=_keyring(env),
            graph_url=_graph_url(env),
            graph_version=_graph_version(env),
            listen=env.address("RECADO_LISTEN", "127.0.0.1:50052"),
            metrics_port=env.integer("RECADO_METRICS_PORT", 0, at_least=0, at_most=65535),
            rpc_workers=env.integer("RECADO_RPC_WORKERS", 8, at_least=2, at_most=256),
            pool_size=env.integer("RECADO_POOL_SIZE", 4, at_least=1, at_most=100),
        )


def _keyring(env: settings.Environment) -> Keyring:
    text = env.secret("RECADO_TOKEN_KEYS")
    try:
        return Keyring.parse(text)
    except ValueError as error:
        if text:
            env.faults.append(f"RECADO_TOKEN_KEYS: {error}")
        # Nobody gets to use it: there is a fault.
        return Keyring({"none": bytes(32)})


def _graph_url(env: settings.Environment) -> str:
    url = env.text("RECADO_GRAPH_URL", "https://graph.facebook.com").rstrip("/")
    try:
        parts = urlsplit(url)
        host, is_plain = parts.hostname, not (parts.query or parts.fragment or parts.username)
    except ValueError:
        parts, host, is_plain = urlsplit(""), None, False
    is_private = parts.scheme == "https" or (parts.scheme == "http" and host in _THIS_MACHINE)
    if not (host and is_plain and is_private):
        # Access tokens travel there.
        env.faults.append("RECADO_GRAPH_URL must be https://host (plain http only on this machine)")
    return url


def _graph_version(env: settings.Environment) -> str:
    version = env.text("RECADO_GRAPH_VERSION", "v25.0")
    if not re.fullmatch(r"v[0-9]{1,3}\.[0-9]{1,2}", version):
        env.faults.append("RECADO_GRAPH_VERSION must be like v25.0")
    return version
