"""Tells those who wait that something of a lead has changed. What it was they read themselves.

One thread looks at the feed while anybody waits. It says nothing twice and forgets nothing while
PostgreSQL is away, because it asks for what was not visible in the snapshot before.
"""

import logging
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeAlias

from history_service import store
from plumbing import errors, postgres

log = logging.getLogger(__name__)

# How late a change may be heard of.
_LOOK_EVERY_S: Final = 0.1
_LOOK_AGAIN_S: Final = 1.0
_TIMEOUT_S: Final = 5.0

Touch: TypeAlias = tuple[str, uuid.UUID]
"""(tenant, lead)."""


class Heard(NamedTuple):
    touches: list[Touch]
    is_unsure: bool = False
    """Something may have happened before anybody looked."""


class Listener:
    """One who waits: for everything, or one tenant's leads."""

    def __init__(self, tenant: str | None) -> None:
        self._tenant = tenant
        self._heard: set[Touch] = set()
        self._is_unsure = False
        self._condition = threading.Condition()

    def tell(self, touches: list[Touch]) -> None:
        mine = [touch for touch in touches if self._tenant in (None, touch[0])]
        if mine:
            with self._condition:
                self._heard.update(mine)
                self._condition.notify()

    def make_unsure(self) -> None:
        with self._condition:
            self._is_unsure = True
            self._condition.notify()

    def wait(self, timeout_s: float) -> Heard:
        """Give what was touched since the last time, as soon as there is something; nothing after a while."""
        with self._condition:
            if not (self._heard or self._is_unsure):
                self._condition.wait(timeout_s)
            heard = Heard(sorted(self._heard), self._is_unsure)
            self._heard.clear()
            self._is_unsure = False
            return heard


class Watch:
    def __init__(self, pool: postgres.Pool) -> None:
        self._pool = pool
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self._has_listeners = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @contextmanager
    def listening(self, tenant: str | None = None) -> Generator[Listener]:
        """Hear from now on what is touched; None is everything. Ask for what was before after entering."""
        listener = Listener(tenant)
        with self._lock:
            self._listeners.add(listener)
            self._has_listeners.set()
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)
                if not self._listeners:
                    self._has_listeners.clear()

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping.is_set()

    def stop(self) -> None:
        """Whoever waits should look at `is_stopping` and end."""
        self._is_stopping.set()
        self._has_listeners.set()
        self._thread.join(timeout=_TIMEOUT_S)

    def _run(self) -> None:
        snapshot: str | None = None
        while not self._is_stopping.is_set():
            if not self._has_listeners.is_set():
                # Nobody to tell: whoever comes begins with what is true then.
                snapshot = None
                self._has_listeners.wait()
                continue
            try:
                is_first = snapshot is None
                touches, snapshot = self._look(snapshot)
            except errors.RecadoError as error:
                log.warning("watch_postponed", extra={"reason": error.reason})
                self._is_stopping.wait(_LOOK_AGAIN_S)
                continue
            except Exception:
                log.exception("watch_failed")
                self._is_stopping.wait(_LOOK_AGAIN_S)
                continue
            with self._lock:
                listeners = list(self._listeners)
            for listener in listeners:
                if is_first:
                    listener.make_unsure()
                listener.tell(touches)
            self._is_stopping.wait(_LOOK_EVERY_S)

    def _look(self, snapshot: str | None) -> tuple[list[Touch], str]:
        def work(conn: postgres.Transaction) -> tuple[list[Touch], str]:
            now = store.current_snapshot(conn)
            return (store.list_touched_leads(conn, snapshot=snapshot) if snapshot else []), now

        return postgres.run_read(self._pool, work, timeout_s=_TIMEOUT_S)
