"""The record of who read what: written before the answer is given, many readers' rows in one transaction.

Rows that wait at the same moment share a commit, and a reader's row is written while its answer is being
made, so that the record costs a page little. What cannot be recorded is not answered.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from history_service import store
from plumbing import errors, postgres

_ROWS_MAX: Final = 500
_TIMEOUT_S: Final = 5.0


class Recorder:
    """One thread that writes. `stop` it once nobody reads any more."""

    def __init__(self, pool: postgres.Pool) -> None:
        self._pool = pool
        self._waiting: queue.SimpleQueue[tuple[store.AuditRow, Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def note(self, row: store.AuditRow) -> Callable[[float], None]:
        """Begin to write a row; call what this gives, with the seconds to wait, before the answer is given.

        That raises what kept the row from being written: Unavailable or DeadlineExceeded.
        """
        written: Future[None] = Future()
        self._waiting.put((row, written))

        def wait(timeout_s: float) -> None:
            try:
                written.result(timeout_s)
            except TimeoutError:
                raise errors.DeadlineExceeded("the read was not recorded in time") from None

        return wait

    def stop(self) -> None:
        self._waiting.put(None)
        self._thread.join(timeout=_TIMEOUT_S)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            is_last = False
            while len(batch) < _ROWS_MAX and not is_last:
                try:
                    following = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    is_last = True
                else:
                    batch.append(following)
            self._write(batch)
            if is_last:
                return

    def _write(self, batch: list[tuple[store.AuditRow, Future[None]]]) -> None:
        rows = [row for row, _ in batch]
        try:
            postgres.run_transaction(
                self._pool, lambda conn: store.insert_audit_rows(conn, rows), timeout_s=_TIMEOUT_S
            )
        except Exception as error:
            if len(batch) > 1 and postgres.blames_the_data(error):
                # One reader's row is no reason to refuse all others.
                for one in batch:
                    self._write([one])
                return
            for _, written in batch:
                written.set_exception(error)
        else:
            for _, written in batch:
                written.set_result(None)
