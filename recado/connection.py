"""Where the services are that a command talks to, and with which secret it introduces itself."""

import contextlib
import os
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import grpc

from plumbing import errors, settings, tokens
from plumbing.rpc import client
from recado.stack import credentials
from recado.stack.folder import Folder

TOKEN_TTL_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Connection:
    """What the environment says and, where it is silent, what the stack that runs in `data` says."""

    data: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def address(self, service: str) -> str:
        """Give host:port of "capture", "enrichment" or "history"."""
        name = f"RECADO_{service.upper()}_ADDRESS"
        with settings.read(self.environ) as env:
            given = env.address(name, "")
        if given:
            return given
        state = self.state()
        if state is None:
            raise click.ClickException(
                f"no stack runs on {self.data}: start one with `recado up`, "
                f"name its folder with --data, or set {name}"
            )
        return str(state[f"{service}_address"])

    @contextlib.contextmanager
    def channel(self, service: str) -> Generator[grpc.Channel]:
        """Open a channel to a service; when it is away, the message says where it was looked for."""
        address = self.address(service)
        with client.open_channel(address) as channel:
            try:
                yield channel
            except errors.Unavailable as error:
                raise click.ClickException(f"{service} at {address}: {error}") from error

    def auth_secret(self) -> str:
        """Give the secret that signs tokens; a stack's is known while it is stopped, too."""
        name = "RECADO_AUTH_SECRET"
        found = self._secret(name) or credentials.load(self._folder.secrets).get(name)
        if not found:
            raise click.ClickException(
                f"no secret to sign with: set {name}, or name the folder of a stack with --data "
                f"({self._folder.secrets} is not there)"
            )
        return found

    def token(self, *, tenant: str, scopes: Iterable[str]) -> str:
        """Make the token of this command itself, good for an hour."""
        return tokens.issue(
            self.auth_secret(), subject="recado-cli", tenant=tenant, scopes=scopes, ttl_s=TOKEN_TTL_S
        )

    def database_url(self) -> str | None:
        """Give the owner's URL; None when neither the environment nor a running stack has one."""
        given = self._secret("RECADO_DATABASE_URL")
        state = None if given else self.state()
        return given or (str(state["database_urls"]["owner"]) if state else None)

    def redis_url(self) -> str | None:
        given = self._secret("RECADO_REDIS_URL")
        state = None if given else self.state()
        return given or (str(state["redis_url"]) if state else None)

    def base_url(self) -> str | None:
        state = self.state()
        return str(state["base_url"]) if state else None

    def state(self) -> dict[str, Any] | None:
        return self._folder.read_state()

    @property
    def _folder(self) -> Folder:
        return Folder(self.data.absolute())

    def _secret(self, name: str) -> str:
        with settings.read(self.environ) as env:
            return env.secret(name, "")
