"""The live feed of a worker: one stream says which leads are touched, one look says what changed for many.

Those who may see the same are looked after together: what changed is asked, written and passed on once,
however many listen. No two looks of a group go on at the same time, so that a later one never tells what
is older.
"""

import logging
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from gateway import backends, render
from gateway.operations import Call
from plumbing import errors
from plumbing.rpc import client
from protos import history_pb2

log = logging.getLogger(__name__)

# However often a lead is touched, its listeners hear so often at most,
_LOOK_EVERY_S: Final = 0.2
# and those of much, who are many, no more than this.
_BYTES_PER_S: Final = 16_000_000
# A place in the feed that stays the same for an hour is forgotten.
_LOOK_ANYWAY_S: Final = 600.0
_AGAIN_S: Final = 1.0
_LISTENERS_MAX: Final = 400
# Of the same user: however many a program opens, there is room for others.
_LISTENERS_OF_ONE_MAX: Final = 300
# What waits for a listener that reads slowly; beyond, it is told to read anew.
_WAITING_BYTES_MAX: Final = 2_000_000
_STREAM_S: Final = 3600.0


def event(name: str, data: Any) -> bytes:
    # JSON has no line breaks of its own.
    return b"event: %b\ndata: %b\n\n" % (name.encode(), render.encode(data))


def _place(resume_token: str) -> bytes:
    """Write where the feed is: what a client that connects again says it has heard."""
    return b"id: %b\n" % resume_token.encode()


class Listener:
    """Somebody who listens: to a lead, or with "" to all that the token opens."""

    def __init__(self, call: Call, lead_id: str, request_id: str) -> None:
        self.call = call
        self.request_id = request_id
        self.asked_lead_id = lead_id
        self.lead_id: uuid.UUID | None = None
        """The one that it is now: leads are merged."""
        self.resume_token = ""
        """The place in the feed after all that was told, whether it has been taken or not."""
        self.is_lead_changed = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_behind = False
        self._has_news = threading.Event()
        self._lock = threading.Lock()

    def tell(self, events: Sequence[bytes], resume_token: str) -> int:
        """Add events, the last with their place, so that none is lost between; give their size."""
        with self._lock:
            self.resume_token = resume_token
            if not events:
                return 0
            told = b"".join((*events[:-1], _place(resume_token), events[-1]))
            self._waiting.append(told)
            self._waiting_bytes += len(told)
            if self._waiting_bytes > _WAITING_BYTES_MAX:
                self._is_behind = True
                self._forget()
        self._has_news.set()
        return len(told)

    def take(self, timeout_s: float) -> bytes:
        """Give what waits, or comes; after a while without news, a sign of life and the place."""
        self._has_news.wait(timeout_s)
        self._has_news.clear()
        with self._lock:
            told = b"".join(self._waiting)
            self._forget()
            if self._is_behind:
                self._is_behind = False
                told = _place(self.resume_token) + event("reset", {})
            # Who comes back after a quiet day is told what they missed, and need not read anew.
            return told or b": still here\n" + _place(self.resume_token) + b"\n"

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0


class _Scope(NamedTuple):
    """What the listeners of a group may see, and whether that is all they want."""

    tenant: str
    instances: frozenset[str] | None
    is_of_all: bool


class _Group:
    def __init__(self) -> None:
        self.coming: set[Listener] = set()
        """Whose first look is still to be done."""
        self.listeners: set[Listener] = set()
        self.resume_token = ""
        self.looked_at = time.monotonic()
        self.is_touched = False
        self.looking = threading.Lock()
        """Held during a look."""


class Hub:
    def __init__(self, services: backends.Backends) -> None:
        self._services = services
        self._groups: dict[_Scope, _Group] = {}
        self._lock = threading.Lock()
        self._has_touched = threading.Event()
        self._running: set[str] = set()

    @contextmanager
    def listening(self, listener: Listener, resume_token: str) -> Generator[None]:
        """Tell a listener what changed since a token, that it is ready, and what changes then.

        Raises ResourceExhausted, and what the first look raises.
        """
        caller = listener.call.caller
        scope = _Scope(caller.tenant, caller.instances, not listener.asked_lead_id)
        with self._lock:
            others = [other for group in self._groups.values() for other in group.coming | group.listeners]
            of_one = sum(
                (other.call.caller.tenant, other.call.caller.subject) == (caller.tenant, caller.subject)
                for other in others
            )
            if len(others) >= _LISTENERS_MAX or of_one >= _LISTENERS_OF_ONE_MAX:
                raise errors.ResourceExhausted("too many listen already", retry_after_s=30)
            group = self._groups.setdefault(scope, _Group())
            group.coming.add(listener)
        try:
            self.look_for(listener, resume_token)
            listener.tell([event("ready", {})], listener.resume_token)
            yield
        finally:
            with self._lock:
                group.coming.discard(listener)
                group.listeners.discard(listener)
                if not (group.coming or group.listeners):
                    del self._groups[scope]

    def look_for(self, listener: Listener, resume_token: str) -> None:
        """Tell one listener what changed since a token, asked in their own name, up to where the group is."""
        caller = listener.call.caller
        scope = _Scope(caller.tenant, caller.instances, not listener.asked_lead_id)
        group = self._groups[scope]
        with _held(group.looking):
            self._tell_group(scope, group)
            changed = client.call(
                self._services.history.ListChanges,
                history_pb2.ListChangesRequest(
                    lead_id=listener.asked_lead_id,
                    resume_token=resume_token,
                    until_token=group.resume_token,
                ),
                token=listener.call.token,
                timeout_s=backends.TIMEOUT_S,
                request_id=listener.request_id,
            )
            listener.lead_id = uuid.UUID(changed.lead_id) if changed.lead_id else None
            listener.is_lead_changed = False
            listener.tell([told for _, told in _events(changed)], changed.resume_token)
            with self._lock:
                group.resume_token = changed.resume_token
                group.listeners.add(listener)
                # It may have been touched after the look, and nobody was told yet.
                group.is_touched = True
                self._start("live-hear", self._hear_always)
                self._start("live-tell", self._tell_always)
        self._has_touched.set()

    def _start(self, name: str, run: Callable[[], None]) -> None:
        if name not in self._running:
            self._running.add(name)
            threading.Thread(target=run, name=name, daemon=True).start()

    def _is_over(self) -> bool:
        """Say whether nobody listens any more; then the thread that asks has to end."""
        with self._lock:
            if self._groups:
                return False
            self._running.discard(threading.current_thread().name)
            return True

    def _hear_always(self) -> None:
        while not self._is_over():
            try:
                self._hear()
            except errors.RecadoError as error:
                log.warning("live_interrupted", extra={"reason": error.reason})
                time.sleep(_AGAIN_S)
            except Exception:
                log.exception("live_failed")
                time.sleep(_AGAIN_S)

    def _hear(self) -> None:
        """Note which groups are touched until the stream ends or nobody listens any more."""
        touched = client.stream(
            self._services.history.WatchLeads,
            history_pb2.WatchLeadsRequest(),
            token=self._services.own_token(),
            timeout_s=_STREAM_S,
        )
        is_first = True
        for answer in touched:
            # What was touched before the stream began may not have been told.
            is_unsure, is_first = is_first or answer.may_have_missed, False
            leads: defaultdict[str, set[uuid.UUID | None]] = defaultdict(set)
            for touch in answer.touches:
                leads[touch.tenant].add(uuid.UUID(touch.lead_id))
            with self._lock:
                if not self._groups:
                    touched.close()
                    return
                for scope, group in self._groups.items():
                    if is_unsure or (
                        scope.tenant in leads
                        and (
                            scope.is_of_all
                            or any(listener.lead_id in leads[scope.tenant] for listener in group.listeners)
                        )
                    ):
                        group.is_touched = True
                        self._has_touched.set()

    def _tell_always(self) -> None:
        while not self._is_over():
            self._has_touched.wait(_LOOK_ANYWAY_S)
            self._has_touched.clear()
            now = time.monotonic()
            with self._lock:
                due = [
                    (scope, group)
                    for scope, group in self._groups.items()
                    if group.is_touched or now - group.looked_at > _LOOK_ANYWAY_S
                ]
            told_bytes = 0
            for scope, group in due:
                try:
                    with _held(group.looking):
                        told_bytes += self._tell_group(scope, group)
                except Exception as error:
                    # What is missed now is told by the next look.
                    if isinstance(error, errors.RecadoError):
                        log.warning("live_postponed", extra={"reason": error.reason})
                    else:
                        log.exception("live_failed")
                    group.is_touched = True
                    self._has_touched.set()
                    time.sleep(_AGAIN_S)
            time.sleep(max(_LOOK_EVERY_S, told_bytes / _BYTES_PER_S))

    def _tell_group(self, scope: _Scope, group: _Group) -> int:
        """Tell a group what changed since its last look; give how much that was, over all listeners."""
        with self._lock:
            listeners = list(group.listeners)
            group.is_touched = False
        if not listeners:
            # Whoever comes starts anew.
            group.resume_token = ""
            return 0
        group.looked_at = time.monotonic()
        changed = client.call(
            self._services.history.ListChanges,
            history_pb2.ListChangesRequest(
                resume_token=group.resume_token,
                watchers=[
                    history_pb2.Watcher(
                        subject=listener.call.caller.subject,
                        lead_id=str(listener.lead_id or ""),
                        request_id=listener.request_id,
                    )
                    for listener in listeners
                ],
            ),
            token=self._services.feed_token(scope.tenant, scope.instances),
            timeout_s=backends.TIMEOUT_S,
        )
        group.resume_token = changed.resume_token
        return _pass_on(changed, listeners)


@contextmanager
def _held(lock: threading.Lock) -> Generator[None]:
    """Hold a lock. Raises Unavailable when others before us wait for what is away."""
    if not lock.acquire(timeout=backends.TIMEOUT_S):
        raise errors.Unavailable("the live feed is not available", retry_after_s=_AGAIN_S)
    try:
        yield
    finally:
        lock.release()


def _pass_on(changed: history_pb2.ListChangesResponse, listeners: Sequence[Listener]) -> int:
    """Tell each listener what concerns them."""
    everything = _events(changed)
    of_lead: defaultdict[uuid.UUID | None, list[bytes]] = defaultdict(list)
    for lead_id, told in everything:
        of_lead[lead_id].append(told)
    changed_leads = set(map(uuid.UUID, changed.lead_ids))
    total = 0
    for listener in listeners:
        if listener.lead_id is None:
            events = [told for _, told in everything]
        else:
            events = [*of_lead[None], *of_lead[listener.lead_id]]
            listener.is_lead_changed |= listener.lead_id in changed_leads
        total += listener.tell(events, changed.resume_token)
    return total


def _events(changed: history_pb2.ListChangesResponse) -> list[tuple[uuid.UUID | None, bytes]]:
    """Write what changed, each with the lead that it concerns; None is everybody."""
    events: list[tuple[uuid.UUID | None, bytes]] = []
    if changed.must_reload:
        events.append((None, event("reset", {})))
    events += [(uuid.UUID(lead_id), event("lead", {"leadId": lead_id})) for lead_id in changed.lead_ids]
    events += [
        (
            uuid.UUID(found.lead_id),
            event("message", {"leadId": found.lead_id, "message": render.message(found)}),
        )
        for found in changed.messages
    ]
    return events
