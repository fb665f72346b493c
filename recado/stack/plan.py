"""The processes of the stack, in the order in which they start, and what each is told."""

import functools
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from plumbing import settings
from plumbing.rpc import health
from protos import jobs
from recado.stack import credentials, postgres, store, valkey
from recado.stack.folder import Folder
from recado.stack.processes import Program, StackError, free_port
from recado.stack.supervisor import Declared, Step

MIGRATED_PACKAGES: Final = ("capture_service", "enrichment_service")
SERVICES: Final = ("capture", "enrichment", "history")
# Beyond what every process gets. A secret that is not here does not reach the process.
_SECRETS: Final[dict[str, tuple[str, ...]]] = {
    "capture": ("RECADO_AUTH_SECRET", "RECADO_DATABASE_URL", "RECADO_REDIS_URL"),
    "enrichment": (
        "RECADO_AUTH_SECRET",
        "RECADO_DATABASE_URL",
        "RECADO_REDIS_URL",
        "RECADO_META_APP_SECRET",
        "RECADO_TOKEN_KEYS",
    ),
    "history": ("RECADO_AUTH_SECRET", "RECADO_DATABASE_URL", "RECADO_REDIS_URL"),
    "worker": ("RECADO_AUTH_SECRET", "RECADO_REDIS_URL"),
    "exporter": ("RECADO_AUTH_SECRET", "RECADO_REDIS_URL"),
    "gateway": (
        "RECADO_AUTH_SECRET",
        "RECADO_REDIS_URL",
        "RECADO_META_APP_SECRET",
        "RECADO_META_VERIFY_TOKEN",
    ),
    "sandbox": ("RECADO_AUTH_SECRET", "RECADO_META_APP_SECRET"),
}
_DATABASE_PORT: Final = 5432  # names a socket in the data folder, so two stacks may share it


class Plan:
    """What runs for one data folder. An address may change until the process that listens there runs."""

    def __init__(
        self, folder: Folder, environ: Mapping[str, str], *, host: str, port: int, has_sandbox: bool
    ) -> None:
        self._folder = folder
        self._environ = environ
        self._host = host
        self._port = port
        self._has_sandbox = has_sandbox
        self._kept = credentials.load_or_make(folder.secrets)
        self._ports = _distinct_ports(
            "postgres", "valkey", "sandbox", *SERVICES, *(f"{name} metrics" for name in _SECRETS)
        )
        self._has_postgres = not credentials.of_environment(environ, "RECADO_DATABASE_URL")
        self._has_valkey = not credentials.of_environment(environ, "RECADO_REDIS_URL")

    @property
    def logs(self) -> Path:
        return self._folder.path / "logs"

    @property
    def base_url(self) -> str:
        host = "127.0.0.1" if self._host in {"0.0.0.0", "::", "[::]"} else self._host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def auth_secret(self) -> str:
        return self._secret("RECADO_AUTH_SECRET")

    def items(self) -> list[Declared | Step]:
        """Give everything in its order; stopping goes the other way."""
        items: list[Declared | Step] = []
        if self._has_postgres:
            self._postgres.initialise()
            items.append(self._declared("postgres", self._declare_postgres))
        if self._has_valkey:
            items.append(self._declared("valkey", self._declare_valkey))
        items.append(Step("migrations", self._migrate))
        items += [self._declared(name, functools.partial(self._declare_service, name)) for name in SERVICES]
        # An export may take hours, and what a business waits for should not wait behind it.
        exports = jobs.EXPORT_LEADS.queue
        for name, queues in (
            ("worker", [queue for queue in jobs.QUEUES if queue != exports]),
            ("exporter", [exports]),
        ):
            items.append(Declared(name, functools.partial(self._declare_worker, name, queues)))
        items.append(Declared("gateway", self._declare_gateway))
        if self._has_sandbox:
            # Its port is what the enrichment service, started before, was told.
            items.append(Declared("sandbox", self._declare_sandbox))
        return items

    def state(self, pids: Mapping[str, int]) -> dict[str, Any]:
        """Give what other commands need to find this stack."""
        return {
            "pid": os.getpid(),
            "pids": dict(pids),
            "base_url": self.base_url,
            **{f"{name}_address": self._address(name) for name in SERVICES},
            "redis_url": self._redis_url(),
            "database_urls": {
                "owner": self._owner_url(),
                **{name: self._database_url(name) for name in SERVICES},
            },
            "metrics_addresses": {
                name: self._address(f"{name} metrics") for name in _SECRETS if name in pids
            },
            "graph_url": self._graph_url() if self._has_sandbox else None,
            "has_sandbox": self._has_sandbox,
        }

    # What each process is told

    def _declare_postgres(self) -> Program:
        return self._postgres.program(self._clean_environment())

    def _declare_valkey(self) -> Program:
        return self._valkey.program(self._clean_environment())

    def _declare_service(self, name: str) -> Program:
        return Program(
            name=name,
            command=_recado("serve", name),
            environment=self._environment(name, {"RECADO_LISTEN": self._address(name)}),
            is_healthy=functools.partial(health.is_serving, self._address(name), timeout_s=2.0),
            port=self._ports[name],
        )

    def _declare_worker(self, name: str, queues: Sequence[str]) -> Program:
        return Program(
            name=name,
            command=_recado("serve", "worker"),
            environment=self._environment(name, {"RECADO_QUEUES": ",".join(queues)}),
            # It serves nothing but its metrics, once it works.
            is_healthy=functools.partial(_accepts, self._ports[f"{name} metrics"]),
        )

    def _declare_gateway(self) -> Program:
        return Program(
            name="gateway",
            command=_recado("serve", "gateway"),
            environment=self._environment(
                "gateway",
                {
                    "RECADO_HOST": f"[{self._host}]" if ":" in self._host else self._host,
                    "RECADO_PORT": str(self._port),
                },
            ),
            is_healthy=functools.partial(_answers, f"{self.base_url}/livez"),
        )

    def _declare_sandbox(self) -> Program:
        return Program(
            name="sandbox",
            command=(sys.executable, "-m", "recado.sandbox"),
            environment=self._environment(
                "sandbox",
                {"RECADO_LISTEN": self._address("sandbox"), "RECADO_BASE_URL": self.base_url},
            ),
            is_healthy=functools.partial(_accepts, self._ports["sandbox"]),
        )

    def _environment(self, name: str, own: Mapping[str, str]) -> dict[str, str]:
        kept = {**self._kept, "RECADO_REDIS_URL": self._redis_url()}
        if name in SERVICES:
            kept["RECADO_DATABASE_URL"] = self._database_url(name)
        environment = {
            **self._clean_environment(),
            **credentials.choose(self._environ, kept, _SECRETS[name]),
            "RECADO_EXPORTS_DIR": self._environ.get("RECADO_EXPORTS_DIR") or str(self._folder.exports),
            **{f"RECADO_{service.upper()}_ADDRESS": self._address(service) for service in SERVICES},
            "RECADO_METRICS_PORT": str(self._ports[f"{name} metrics"]),
            **own,
        }
        if self._has_sandbox:
            environment.setdefault("RECADO_GRAPH_URL", self._graph_url())
        return environment

    def _clean_environment(self) -> dict[str, str]:
        # The mark lets an operator find every process of a stack: grep -l in /proc/*/environ.
        return {
            **credentials.without(self._environ),
            "RECADO_STACK": str(self._folder.path),
            "PYTHONUNBUFFERED": "1",
        }

    # Addresses

    def _declared(self, name: str, declare: Any) -> Declared:
        return Declared(name, declare, functools.partial(self._choose_port, name))

    def _choose_port(self, name: str) -> None:
        self._ports[name] = free_port()

    def _address(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    def _graph_url(self) -> str:
        return self._environ.get("RECADO_GRAPH_URL") or f"http://{self._address('sandbox')}"

    @property
    def _postgres(self) -> postgres.Server:
        data, password = self._folder.postgres, self._kept["RECADO_POSTGRES_PASSWORD"]
        server = postgres.Server(data=data, password=password, port=_DATABASE_PORT)
        if server.uses_socket:
            return server
        return postgres.Server(data=data, password=password, port=self._ports["postgres"])

    @property
    def _valkey(self) -> valkey.Server:
        return valkey.Server(
            data=self._folder.valkey,
            password=self._kept["RECADO_VALKEY_PASSWORD"],
            port=self._ports["valkey"],
        )

    def _owner_url(self) -> str:
        return self._postgres.url() if self._has_postgres else self._secret("RECADO_DATABASE_URL")

    def _database_url(self, service: str) -> str:
        if not self._has_postgres:
            return self._secret("RECADO_DATABASE_URL")
        return self._postgres.url(
            user=f"recado_{service}_login", password=self._kept[f"RECADO_{service.upper()}_PASSWORD"]
        )

    def _redis_url(self) -> str:
        return self._valkey.url if self._has_valkey else self._secret("RECADO_REDIS_URL")

    def _secret(self, name: str) -> str:
        try:
            with settings.read(self._environ) as env:
                return env.secret(name, self._kept.get(name))
        except settings.SettingsError as error:
            raise StackError(str(error)) from None

    def _migrate(self) -> None:
        if self._has_postgres:
            store.create_database(self._postgres.url(database="postgres"), postgres.DATABASE)
        store.migrate(self._owner_url(), MIGRATED_PACKAGES)
        if self._has_postgres:
            for name in SERVICES:
                store.ensure_login(
                    self._owner_url(),
                    login=f"recado_{name}_login",
                    password=self._kept[f"RECADO_{name.upper()}_PASSWORD"],
                    role=f"recado_{name}",
                )


def _recado(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "recado", *arguments)


def _distinct_ports(*names: str) -> dict[str, int]:
    ports: dict[str, int] = {}
    for name in names:
        port = free_port()
        while port in ports.values():
            port = free_port()
        ports[name] = port
    return ports


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


# Never through a proxy of the environment: this is the machine itself.
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _opener.open(url, timeout=2.0) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError):
        return False
