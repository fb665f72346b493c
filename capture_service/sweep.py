"""The sweeper: hands jobs to the queues, and applies webhooks whose number has been registered.

It is woken after a commit that left something to do, and looks by itself for what a crash or an
outage of Redis left behind.
"""

import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from capture_service import patterns, recovery, store
from capture_service.ingest import Ingest, ask_to_apply
from capture_service.instances import HISTORY_IDLE
from plumbing import errors, postgres
from protos import changes, jobs
from protos.ids import uuid7

log = logging.getLogger(__name__)

_OUTBOX_EVERY_S: Final = 1.0
_UNROUTED_EVERY_S: Final = 10.0
# A job that has not settled its row by then is handed over again.
_LEASE: Final = timedelta(seconds=90)
_RETRY_AFTER: Final = timedelta(seconds=2)
_COUNT_MAX: Final = 100
_TIMEOUT_S: Final = 10.0

# What is answered arrives within it.
_SETTLED: Final = timedelta(seconds=15)
_TEXTS_MAX: Final = 200
# Of so many texts, each sent so often, all messages are examined again in one transaction.
_SHIFTED_MAX: Final = 10
_SAME_TEXTS_MAX: Final = 5_000
# Then jobs are handed over again.
_EXAMINED_FOR_S: Final = 5.0
# Of the feed of changes, that one transaction forgets.
_CHANGES_MAX: Final = 5_000

Enqueue = Callable[[jobs.Job, str, dict[str, str]], None]


class Sweeper:
    """One thread. `start` it once, `wake` it when there is something to do, `stop` it at the end."""

    def __init__(self, pool: postgres.Pool, ingest: Ingest, enqueue: Enqueue) -> None:
        """`enqueue(job, job_id, arguments)` raises errors.Unavailable while Redis is away."""
        self._pool = pool
        self._ingest = ingest
        self._enqueue = enqueue
        self._awake = threading.Event()
        self._is_stopping = threading.Event()
        self._has_new_number = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There are new rows in the outbox."""
        self._awake.set()

    def number_registered(self) -> None:
        """Webhooks may be waiting for a number that has just been registered."""
        self._has_new_number.set()
        self._awake.set()

    def stop(self) -> None:
        self._is_stopping.set()
        self._awake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        next_unrouted = 0.0
        while not self._is_stopping.is_set():
            self._awake.clear()
            self._do(self.hand_over)
            if self._has_new_number.is_set() or time.monotonic() >= next_unrouted:
                self._has_new_number.clear()
                next_unrouted = time.monotonic() + _UNROUTED_EVERY_S
                now = datetime.now(UTC)
                self._do(self.apply_unrouted)
                self._do(self.ask_again, now=now)
                self._do(self.end_idle_histories)
                self._do(self.mark_patterns, now=now)
                self._do(self.forget_changes, now=now)
            self._awake.wait(_OUTBOX_EVERY_S)

    def _do(self, chore: Callable[..., None], **told: datetime) -> None:
        """Do one chore; one that fails keeps no other from being done."""
        if self._is_stopping.is_set():
            return
        try:
            chore(**told)
        except errors.RecadoError as error:
            log.warning("sweep_postponed", extra={"chore": chore.__name__, "reason": error.reason})
        except Exception:
            log.exception("sweep_failed", extra={"chore": chore.__name__})

    def hand_over(self) -> None:
        """Hand every due row of the outbox to its queue."""
        while not self._is_stopping.is_set():
            rows = postgres.run_transaction(
                self._pool,
                lambda conn: store.claim_outbox_rows(conn, lease=_LEASE, count_max=_COUNT_MAX),
                timeout_s=_TIMEOUT_S,
            )
            for number, row in enumerate(rows):
                if row.job not in jobs.JOBS:
                    # Of a newer release that has been taken back: it waits for the next one.
                    log.error("job_unknown", extra={"job": row.job})
                    continue
                try:
                    self._enqueue(jobs.JOBS[row.job], str(row.id), dict(row.arguments))
                except errors.Unavailable:
                    self._give_back(rows[number:])
                    return
            if len(rows) < _COUNT_MAX:
                return

    def end_idle_histories(self) -> None:
        """End the histories of which nothing has come for long."""
        before = datetime.now(UTC) - HISTORY_IDLE
        postgres.run_transaction(
            self._pool, lambda conn: store.end_idle_histories(conn, before=before), timeout_s=_TIMEOUT_S
        )

    def mark_patterns(self, *, now: datetime) -> None:
        """Examine what the businesses sent, a little later: what it answers may still be on its way."""
        before = uuid7(now - _SETTLED)
        until = time.monotonic() + _EXAMINED_FOR_S
        while not self._is_stopping.is_set() and time.monotonic() < until:
            found = postgres.run_read(
                self._pool, lambda conn: store.list_unexamined(conn, before=before), timeout_s=_TIMEOUT_S
            )
            has_failed = False
            for instance in found:
                work = functools.partial(_examine, instance=instance, before=before)
                try:
                    postgres.run_transaction(self._pool, work, timeout_s=_TIMEOUT_S)
                except errors.RecadoError as error:
                    has_failed = True
                    log.warning("patterns_postponed", extra={"reason": error.reason})
            if has_failed or not found:
                return

    def ask_again(self, *, now: datetime) -> None:
        """Ask for the large webhooks to be applied that no job knows of."""

        def work(conn: postgres.Transaction) -> None:
            found = store.list_forgotten(conn, before=now - _LEASE, count_max=_COUNT_MAX)
            if found:
                log.warning("webhooks_forgotten", extra={"webhooks": len(found)})
                ask_to_apply(conn, found)

        postgres.run_transaction(self._pool, work, timeout_s=_TIMEOUT_S)

    def forget_changes(self, *, now: datetime) -> None:
        """Take what is too old out of the feed of changes."""
        while not self._is_stopping.is_set():
            forgotten = postgres.run_transaction(
                self._pool,
                lambda conn: store.delete_old_changes(
                    conn, before=now - changes.KEPT, count_max=_CHANGES_MAX
                ),
                timeout_s=_TIMEOUT_S,
            )
            if forgotten < _CHANGES_MAX:
                return

    def apply_unrouted(self) -> None:
        tenants = postgres.run_read(self._pool, store.tenants_awaited, timeout_s=_TIMEOUT_S)
        for tenant in tenants:
            recovery.apply_unrouted(self._ingest, self._pool, tenant)

    def _give_back(self, rows: list[store.OutboxRow]) -> None:
        """Redis is away: try these again soon, without counting it against them."""

        def work(conn: postgres.Transaction) -> None:
            for row in rows:
                store.give_back_outbox_row(conn, tenant_id=row.tenant_id, id=row.id, by=_RETRY_AFTER)

        postgres.run_transaction(self._pool, work, timeout_s=_TIMEOUT_S)


def _examine(conn: postgres.Transaction, instance: store.Examined, before: uuid.UUID) -> None:
    """Examine the next texts of an instance, and some of what was noted."""
    examined_to = store.hold_examination(conn, instance)
    coming = store.list_next_texts(
        conn, instance, after=examined_to, before=before, quick=patterns.QUICK, count_max=_TEXTS_MAX
    )
    texts = {text.id: text for text in coming}
    if noted := store.take_noted(conn, instance, count_max=_TEXTS_MAX):
        # Later ones come in their turn.
        settled = max(before, examined_to) if examined_to else before
        of_noted = store.list_noted_texts(
            conn, instance, messages=noted, before=settled, quick=patterns.QUICK
        )
        texts |= {text.id: text for text in of_noted}
    if texts:
        _mark(conn, instance, texts)
    if coming:
        store.note_examined(conn, instance, to=max(text.batch_id for text in coming))


def _mark(conn: postgres.Transaction, instance: store.Examined, texts: dict[uuid.UUID, store.Text]) -> None:
    """Mark texts by the rules, and with them all that say the same where these are to be marked otherwise."""
    repetitions = store.list_repetitions(
        conn, instance, digests={text.digest for text in texts.values()}, people_max=patterns.SAME_TO_MIN
    )
    people = {found.digest: found.people for found in repetitions}
    shifts = [
        (found.digest, least)
        for found in repetitions
        if (least := patterns.repetition(found.people)) != found.marked_for
    ]
    if len(shifts) > _SHIFTED_MAX:
        postponed = {digest for digest, _ in shifts[_SHIFTED_MAX:]}
        store.note_to_examine(
            conn,
            [
                (instance.tenant_id, instance.instance_id, text.id)
                for text in texts.values()
                if text.digest in postponed
            ],
        )
        texts = {text.id: text for text in texts.values() if text.digest not in postponed}
    shifted = dict(shifts[:_SHIFTED_MAX])
    if shifted:
        same = store.list_same_texts(
            conn, instance, digests=shifted, quick=patterns.QUICK, count_max=_SAME_TEXTS_MAX
        )
        texts = texts | {text.id: text for text in same}
        store.note_repetitions(conn, instance, people_min=shifted)
    told = {
        text.id: patterns.rule(people[text.digest], answers_quickly=text.answers_quickly)
        for text in texts.values()
        if text.pattern != patterns.MENU
    }
    marked = {id: rule for id, rule in told.items() if rule != texts[id].pattern}
    if marked:
        store.mark_patterns(conn, tenant_id=instance.tenant_id, patterns=marked)
