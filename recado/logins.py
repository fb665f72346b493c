"""The services' logins in a database that somebody else runs, one for each, made by `recado migrate`."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from plumbing import settings
from recado.stack import store

SERVICES: Final = ("capture", "enrichment", "history")


def ensure(owner_url: str, environ: Mapping[str, str]) -> list[str]:
    """Make the logins of the URLs that services are to come with, and give their names.

    RECADO_CAPTURE_DATABASE_URL and its siblings say them, each optional. A login that is there already
    gets the password of its URL. Raises settings.SettingsError when a URL names no user and password.
    """
    logins: dict[str, tuple[str, str]] = {}
    with settings.read(environ) as env:
        for service in SERVICES:
            name = f"RECADO_{service.upper()}_DATABASE_URL"
            url = env.secret(name, "")
            if url:
                user, password = _login_of(url)
                if not (user and password):
                    env.faults.append(f"{name} must be postgresql://user:password@host/database")
                logins[service] = user, password
    for service, (login, password) in logins.items():
        store.ensure_login(owner_url, login=login, password=password, role=f"recado_{service}")
    return [login for login, _ in logins.values()]


def _login_of(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return unquote(parts.username or ""), unquote(parts.password or "")
