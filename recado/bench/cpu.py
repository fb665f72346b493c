"""Which process used the processors while something was measured. Linux only; elsewhere nothing is said."""

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def used_s(pids: Mapping[str, int]) -> dict[str, float]:
    """Give the processor seconds each of these processes and its descendants have used so far."""
    try:
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return {}
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for pid in numbers:
        try:
            # The command, in parentheses, may contain anything.
            fields = (
                Path(f"/proc/{pid}/stat")
                .read_text(encoding="utf-8", errors="replace")
                .rpartition(")")[2]
                .split()
            )
        except OSError:
            continue
        parents[pid] = int(fields[1])
        # Of itself, and of children that have ended and were waited for.
        used[pid] = sum(int(field) for field in fields[11:15]) / _TICKS_PER_S
    owners = {pid: name for name, pid in pids.items()}
    total = dict.fromkeys(pids, 0.0)
    for pid, seconds in used.items():
        ancestor = pid
        while ancestor > 1 and ancestor not in owners:
            ancestor = parents.get(ancestor, 0)
        if ancestor in owners:
            total[owners[ancestor]] += seconds
    return total


def between(before: Mapping[str, float], after: Mapping[str, float], *, per: float) -> dict[str, float]:
    """Give what each has used in between, per second (a share of one processor), per request, ..."""
    return {name: max(0.0, after[name] - before.get(name, 0.0)) / per for name in after}
