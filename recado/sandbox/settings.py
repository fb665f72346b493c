"""What the sandbox is told by its environment."""

from collections.abc import Mapping
from typing import Final

import msgspec

from plumbing import settings, tokens

_SEED_MAX: Final = 2**31


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    app_secret: str
    auth_secret: str
    listen: str
    """host:port of the stand-in of the Graph API."""
    gateway_url: str
    """Where webhooks go, without the path."""
    capture_address: str
    enrichment_address: str
    seed: int


def load(environ: Mapping[str, str]) -> Settings:
    """Raises settings.SettingsError naming everything that is wrong."""
    with settings.read(environ) as env:
        # The gateway may accept two secrets while one is being rotated out; Meta signs with the first.
        app_secret = env.secret("RECADO_META_APP_SECRET").split(",")[0].strip()
        found = Settings(
            app_secret=app_secret,
            auth_secret=env.secret("RECADO_AUTH_SECRET"),
            listen=env.address("RECADO_LISTEN"),
            gateway_url=env.text("RECADO_BASE_URL").rstrip("/"),
            capture_address=env.address("RECADO_CAPTURE_ADDRESS"),
            enrichment_address=env.address("RECADO_ENRICHMENT_ADDRESS"),
            seed=env.integer("RECADO_SANDBOX_SEED", 7, at_least=0, at_most=_SEED_MAX),
        )
        if not found.gateway_url.startswith("http"):
            env.faults.append("RECADO_BASE_URL must begin with http:// or https://")
        if found.auth_secret:
            try:
                tokens.check_secret(found.auth_secret)
            except ValueError as fault:
                env.faults.append(f"RECADO_AUTH_SECRET: {fault}")
    return found
