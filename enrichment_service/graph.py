"""The Graph API: one request, tried again while that helps and time remains.

Its errors are told apart by `error.code`; the HTTP status is unreliable. Source: Meta, "Cloud API
error codes" (November 2025) and "Graph API rate limiting".
"""

import random
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import msgspec
import requests
from prometheus_client import Counter

_CONNECT_TIMEOUT_S: Final = 2.0
_READ_TIMEOUT_S: Final = 5.0
_ATTEMPTS: Final = 4
_BACKOFF_S: Final = 0.5
_BACKOFF_MAX_S: Final = 8.0
_ANSWER_BYTES_MAX: Final = 1024 * 1024

_answered: Final = Counter("recado_graph_requests_total", "Requests to the Graph API", ["outcome"])


class Action(Enum):
    """What an error asks for."""

    RETRY = "retry"
    REAUTHENTICATE = "reauthenticate"
    STOP = "stop"
    GIVE_UP = "give up"


_RETRY: Final = frozenset({1, 2, 4, 17, 32, 613, 80007, 130429, 131056, 131000, 131016, 131057, 133004})
_RATE: Final = frozenset({4, 17, 32, 613, 80007, 130429, 131056})
_REAUTHENTICATE: Final = frozenset({0, 3, 10, 190, 131005, *range(200, 300)})
_STOP: Final = frozenset({368, 131031, 130497, 133010, 131042, 131045})


class GraphError(Exception):
    """The Graph API refused, or could not be reached. Carries no content."""

    def __init__(self, action: Action, *, code: int | None, is_rate_limit: bool = False) -> None:
        super().__init__(f"Graph API error {code}: {action.value}")
        self.action = action
        self.code = code
        self.is_rate_limit = is_rate_limit


def action_of(code: int | None, http_status: int, *, is_transient: bool) -> Action:
    if code in _REAUTHENTICATE:
        return Action.REAUTHENTICATE
    if code in _STOP:
        return Action.STOP
    if is_transient or code in _RETRY or http_status == 429 or http_status >= 500:
        return Action.RETRY
    return Action.GIVE_UP


class Graph:
    """Safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        version: str,
        *,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = f"{base_url}/{version}"
        self._session = session or requests.Session()
        # An environment's proxy or .netrc must not redirect a call that carries a token.
        self._session.trust_env = False
        self._sleep = sleep
        self._monotonic = monotonic

    def get(
        self, path: str, parameters: Mapping[str, str], *, access_token: str, timeout_s: float
    ) -> dict[str, Any]:
        """GET an object. Raises GraphError at the latest after `timeout_s`."""
        deadline = self._monotonic() + timeout_s
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._once(path, parameters, access_token, deadline - self._monotonic())
            except _Attempt as failure:
                wait_s = failure.retry_after_s or random.uniform(0.5, 1) * min(  # noqa: S311 - not a secret
                    _BACKOFF_MAX_S, _BACKOFF_S * 2 ** (attempt - 1)
                )
                is_over = attempt == _ATTEMPTS or self._monotonic() + wait_s >= deadline
                if failure.error.action is not Action.RETRY or is_over:
                    _answered.labels(failure.error.action.name.lower()).inc()
                    raise failure.error from failure
                self._sleep(wait_s)
            else:
                _answered.labels("answered").inc()
                return answer

    def _once(
        self, path: str, parameters: Mapping[str, str], access_token: str, remaining_s: float
    ) -> dict[str, Any]:
        try:
            response = self._session.get(
                f"{self._base}/{path}",
                params=parameters,
                headers={"Authorization": f"Bearer {access_token}"},
                timeout=(
                    max(0.05, min(_CONNECT_TIMEOUT_S, remaining_s)),
                    max(0.05, min(_READ_TIMEOUT_S, remaining_s)),
                ),
                allow_redirects=False,
                stream=True,
            )
            with response:
                raw = response.raw.read(_ANSWER_BYTES_MAX + 1, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise _Attempt(GraphError(Action.RETRY, code=None), None) from error
        body = _object(raw) if len(raw) <= _ANSWER_BYTES_MAX else None
        failed = body.get("error") if body else None
        if response.status_code == 200 and body is not None and failed is None:
            return body
        details: dict[str, Any] = failed if isinstance(failed, dict) else {}
        code = details.get("code")
        code = code if isinstance(code, int) and not isinstance(code, bool) else None
        action = action_of(code, response.status_code, is_transient=details.get("is_transient") is True)
        is_rate_limit = code in _RATE or response.status_code == 429
        raise _Attempt(
            GraphError(action, code=code, is_rate_limit=is_rate_limit),
            _seconds(response.headers.get("Retry-After")),
        )


class _Attempt(Exception):
    def __init__(self, error: GraphError, retry_after_s: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdigit() else None
