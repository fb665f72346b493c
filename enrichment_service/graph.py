"""The Graph API: one request, tried again while that helps and time remains.

Its errors are told apart by `error.code`; the HTTP status is unreliable and counts only where no code
decides. Source: Meta, "Cloud API error codes" (November 2025) and "Graph API rate limiting".
"""

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

import msgspec
import requests
from prometheus_client import Counter
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

_CONNECT_TIMEOUT_S: Final = 2.0
_READ_TIMEOUT_S: Final = 5.0
_TIMEOUT_S_MIN: Final = 0.05
_ATTEMPTS_MAX: Final = 4
_BACKOFF_S: Final = 0.5
_BACKOFF_S_MAX: Final = 8.0
_ANSWER_BYTES_MAX: Final = 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024

# Usage is told in per cent of what the app, or the business, may ask for.
_USAGE_PERCENT_MAX: Final = 95.0
# How long to ask nothing when Meta says that the limit is reached and not when it ends. Its windows
# slide over an hour, so a little is free again soon.
_REST_S: Final = 60.0
_REST_S_MAX: Final = 24 * 3600.0

_answered: Final = Counter("recado_graph_requests_total", "Requests to the Graph API", ["outcome"])


class Action(Enum):
    """What an error asks for: the closed set."""

    RETRY = "retry"
    """It may pass by itself."""
    REAUTHENTICATE = "reauthenticate"
    """Somebody has to give a new access token, or more rights to this one."""
    STOP = "stop"
    """Meta has locked the number or the account: somebody has to look."""
    GIVE_UP = "give_up"
    """This request will never be answered."""


_RATE: Final = frozenset({4, 17, 32, 613, 80007, 130429, 131056})
_RETRY: Final = _RATE | {1, 2, 131000, 131016, 131057, 133004}
_REAUTHENTICATE: Final = frozenset({0, 3, 10, 190, 131005, *range(200, 300)})
_STOP: Final = frozenset({368, 130497, 131031, 131042, 131045, 133010})


class GraphError(Exception):
    """The Graph API refused, or could not be reached. Carries no content."""

    def __init__(
        self, action: Action, *, code: int | None, is_rate_limit: bool = False, rest_s: float | None = None
    ) -> None:
        super().__init__(f"Graph API error {code}: {action.value}")
        self.action = action
        self.code = code
        """Meta's; None when there was no answer, or none that says."""
        self.is_rate_limit = is_rate_limit
        self.rest_s = rest_s
        """How long not to ask again; None when nobody says."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: dict[str, Any]
    rest_s: float | None
    """How long not to ask again, because the limit is near; None when it is not."""


def action_of(code: int | None, http_status: int, *, is_transient: bool) -> Action:
    """Tell what an error asks for."""
    if code in _REAUTHENTICATE:
        return Action.REAUTHENTICATE
    if code in _STOP:
        return Action.STOP
    # What is no error and not our answer either comes from something on the way: a proxy, a login page.
    is_of_meta = 400 <= http_status < 500 and http_status != 429
    if is_transient or code in _RETRY or not is_of_meta:
        return Action.RETRY
    if code is None and http_status in (401, 403):
        return Action.REAUTHENTICATE
    return Action.GIVE_UP


class Graph:
    """Safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        version: str,
        *,
        connections_max: int = 8,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`jitter(low, high)` gives a number between the two."""
        self._base = f"{base_url}/{version}"
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_maxsize=connections_max)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # A company's proxy and certificates count on the way to Meta; on the way to this machine they
        # would only be in the way.
        self._session.trust_env = urlsplit(base_url).scheme == "https"
        self._sleep = sleep
        self._monotonic = monotonic
        self._clock = clock
        self._jitter = jitter

    def close(self) -> None:
        self._session.close()

    def get(
        self, node: str, edge: str, parameters: Mapping[str, str], *, access_token: str, timeout_s: float
    ) -> Answer:
        """GET an edge of a node. Raises GraphError at the latest after `timeout_s`.

        Tried again while the error asks for it: after what Retry-After says, else with a pause that
        doubles. A wait that would outlast `timeout_s` is not begun.
        """
        deadline = self._monotonic() + timeout_s
        url = f"{self._base}/{quote(node, safe='')}/{edge}"
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._once(url, parameters, access_token, deadline)
            except GraphError as error:
                pause_s = min(_BACKOFF_S_MAX, _BACKOFF_S * 2 ** (attempt - 1))
                wait_s = self._jitter(pause_s / 2, pause_s) if error.rest_s is None else error.rest_s
                is_over = attempt == _ATTEMPTS_MAX or self._monotonic() + wait_s >= deadline
                if error.action is not Action.RETRY or is_over:
                    _answered.labels("rate_limited" if error.is_rate_limit else error.action.value).inc()
                    raise
                self._sleep(wait_s)
            else:
                _answered.labels("answered").inc()
                return answer

    def _once(self, url: str, parameters: Mapping[str, str], access_token: str, deadline: float) -> Answer:
        remaining_s = max(_TIMEOUT_S_MIN, deadline - self._monotonic())
        try:
            response = self._session.get(
                url,
                params=parameters,
                auth=_bearer(access_token),
                timeout=(min(_CONNECT_TIMEOUT_S, remaining_s), min(_READ_TIMEOUT_S, remaining_s)),
                # The token goes to whom it was meant for and to nobody else.
                allow_redirects=False,
                stream=True,
            )
            with response:
                body = _object(self._read(response, deadline))
        except (requests.RequestException, HTTPError, OSError) as error:
            raise GraphError(Action.RETRY, code=None) from error
        failed = body.get("error") if body is not None else None
        if response.status_code == 200 and body is not None and failed is None:
            return Answer(body, _rest_of_usage(response.headers))
        details = cast("dict[str, Any]", failed) if isinstance(failed, dict) else {}
        code = details.get("code")
        code = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**63 else None
        is_rate_limit = code in _RATE or (code is None and response.status_code == 429)
        rest_s = _retry_after_s(response.headers.get("Retry-After"), self._clock())
        if rest_s is None and is_rate_limit:
            rest_s = _rest_of_usage(response.headers)
        raise GraphError(
            action_of(code, response.status_code, is_transient=details.get("is_transient") is True),
            code=code,
            is_rate_limit=is_rate_limit,
            rest_s=rest_s,
        )

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        """Give the body; nothing when it is too long or comes too slowly."""
        body = b""
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > _ANSWER_BYTES_MAX or self._monotonic() > deadline:
                return b""
        return body


def _bearer(access_token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    # As `auth` and not among the headers: there, an entry of the user's .netrc would replace it.
    def add(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {access_token}"
        return request

    return add


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _retry_after_s(header: str | None, now: datetime) -> float | None:
    """Read Retry-After: seconds, or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return min(float(header), _REST_S_MAX)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), _REST_S_MAX)


class _Usage(msgspec.Struct):
    """Source: Meta, "Graph API rate limiting", Headers. The WhatsApp pages do not mention them."""

    call_count: float = 0
    total_cputime: float = 0
    total_time: float = 0
    estimated_time_to_regain_access: float = 0
    """Minutes."""


def _rest_of_usage(headers: Mapping[str, str]) -> float | None:
    """Tell how long to ask nothing, from X-App-Usage and X-Business-Use-Case-Usage; None: go on."""
    usages: list[_Usage] = []
    try:
        usages.append(msgspec.json.decode(headers.get("X-App-Usage") or "{}", type=_Usage))
    except (msgspec.MsgspecError, UnicodeError):
        usages.clear()
    try:
        businesses = msgspec.json.decode(
            headers.get("X-Business-Use-Case-Usage") or "{}", type=dict[str, list[_Usage]]
        )
    except (msgspec.MsgspecError, UnicodeError):
        businesses = {}
    usages += [usage for business in businesses.values() for usage in business]
    rests_s = [
        usage.estimated_time_to_regain_access * 60 or _REST_S for usage in usages if _is_used_up(usage)
    ]
    return min(max(rests_s), _REST_S_MAX) if rests_s else None


def _is_used_up(usage: _Usage) -> bool:
    return (
        usage.estimated_time_to_regain_access > 0
        or max(usage.call_count, usage.total_cputime, usage.total_time) >= _USAGE_PERCENT_MAX
    )
