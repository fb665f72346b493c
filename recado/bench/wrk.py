"""wrk, where it is installed: a generator that costs next to nothing. It only knows the closed way."""

import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from recado.bench import bodies

# wrk's Lua has no HMAC: it reads requests that were signed beforehand. request() is also called once
# before the start, to check it, in a state of its own.
_SCRIPT: Final = """
local file = io.open("%(path)s", "rb")
wraps = 0
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function request()
  local head = file:read(%(digits)d)
  if not head then
    file:seek("set", 0)
    wraps = wraps + 1
    head = file:read(%(digits)d)
  end
  return file:read(tonumber(head))
end
function done(summary, latency, requests)
  local wrapped = 0
  for _, thread in ipairs(threads) do wrapped = wrapped + thread:get("wraps") end
  local curve = {}
  for _, percent in ipairs({%(percents)s}) do
    curve[#curve + 1] = string.format("%%.3f", latency:percentile(percent) / 1000)
  end
  io.write(string.format(
    '\\nRECADO{"requests":%%d,"duration_us":%%d,"refused":%%d,"broken":%%d,"wraps":%%d,"curve_ms":[%%s]}\\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    wrapped, table.concat(curve, ",")))
end
"""


class Outcome(msgspec.Struct, kw_only=True):
    requests: int
    duration_us: int
    refused: int
    """Answered with 400 or more."""
    broken: int
    """Connections that failed, and answers that took too long."""
    wraps: int
    """How often the file began again."""
    curve_ms: list[float]
    """Latency at the quantiles asked for."""
    cpu_s: float = 0.0

    @property
    def acknowledged(self) -> int:
        return self.requests - self.refused

    @property
    def seconds(self) -> float:
        return self.duration_us / 1e6


class Failed(Exception):
    """wrk did not do what it was asked to."""


def is_installed() -> bool:
    return shutil.which("wrk") is not None


def run(url: str, requests: Path, *, connections: int, seconds: int, quantiles: tuple[float, ...]) -> Outcome:
    """Send the requests of the file for so long over so many connections, one thread."""
    script = _SCRIPT % {
        "path": str(requests).replace("\\", "\\\\").replace('"', '\\"'),
        "digits": bodies.LENGTH_DIGITS,
        # wrk knows no percentile 0 and counts to just below 100.
        "percents": ",".join(str(min(max(100 * quantile, 0.001), 99.999)) for quantile in quantiles),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        command = (
            "wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s",
            "--timeout=30s", f"--script={file.name}", url,
        )  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    _, found, told = done.stdout.rpartition("\nRECADO")
    if done.returncode or not found:
        raise Failed(f"wrk ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    outcome = msgspec.json.decode(told, type=Outcome)
    outcome.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return outcome
