"""Resume tokens of the live feed: a moment, as the snapshot of the database that a reader has seen.

PostgreSQL can tell for every transaction whether it was visible in a snapshot, so that an answer says
exactly what was not in the one before: nothing is missed because it was committed late, nothing twice.
"""

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from protos import changes

# xmin:xmax:those in progress. Source: PostgreSQL manual, "pg_snapshot Components".
_SNAPSHOT: Final = re.compile(r"(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)")
_CHARS_MAX: Final = 8192
# Before the feed forgets.
_MARGIN: Final = timedelta(minutes=5)


class Bad(Exception):
    """Not a token of ours."""


class Moment(NamedTuple):
    at: datetime
    snapshot: str

    def is_too_old(self, now: datetime, snapshot: str) -> bool:
        """Tell whether the feed may have forgotten what came since, or belongs to another database."""
        return now - self.at > changes.KEPT - _MARGIN or _xmax(self.snapshot) > _xmax(snapshot)


def write(moment: Moment) -> str:
    told = f"{int(moment.at.timestamp())};{moment.snapshot}"
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def read(token: str) -> Moment:
    """Give the moment back. Raises Bad."""
    try:
        if len(token) > _CHARS_MAX:
            raise Bad
        told = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
        seconds, _, snapshot = told.partition(";")
        parts = _SNAPSHOT.fullmatch(snapshot)
        if parts is None or write(moment := Moment(_time(seconds), snapshot)) != token:
            raise Bad
        xmin, xmax = int(parts[1]), int(parts[2])
        running = [int(xid) for xid in parts[3].split(",")] if parts[3] else []
        # What PostgreSQL would refuse, or could not count with.
        if not 0 < xmin <= xmax < 2**63 or running != sorted(set(running)):
            raise Bad
        if running and not xmin <= running[0] <= running[-1] < xmax:
            raise Bad
    except (ValueError, OverflowError, OSError):
        raise Bad from None
    return moment


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _xmax(snapshot: str) -> int:
    return int(snapshot.split(":")[1])
