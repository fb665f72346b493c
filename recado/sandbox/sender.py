"""The other end of a webhook: Meta's delivery, with its signature and its retries."""

import logging
import threading
from collections.abc import Callable
from typing import Final, Self

import requests

from recado.sandbox import wire

log = logging.getLogger(__name__)

PATH: Final = "/webhooks/whatsapp"
_TIMEOUT_S: Final = 10.0
# Meta retries for days with growing pauses; here a test or a developer is waiting.
_RETRY_S_MIN: Final = 0.1
_RETRY_S_MAX: Final = 5.0


class Stopped(Exception):
    """Told to stop; what was under way was not acknowledged, the last answer to it being `status`."""

    def __init__(self, status: int = 0) -> None:
        super().__init__(f"stopped; last answer {status or 'none'}")
        self.status = status


class Sender:
    """Posts webhooks to a gateway. Not safe to use from several threads."""

    def __init__(
        self, gateway_url: str, app_secret: str, *, wait: Callable[[float], bool] | None = None
    ) -> None:
        """`wait` sleeps for that many seconds and tells whether to stop."""
        self._url = gateway_url.rstrip("/") + PATH
        self._secret = app_secret.encode()
        self._wait = wait or threading.Event().wait
        self._session = requests.Session()
        # The gateway is ours; a proxy of the environment is not for it.
        self._session.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def post(self, body: bytes) -> int:
        """Send once; give the HTTP status, or 0 when there was no answer."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            wire.SIGNATURE_HEADER: wire.signature(self._secret, body),
        }
        try:
            return self._session.post(self._url, data=body, headers=headers, timeout=_TIMEOUT_S).status_code
        except requests.RequestException:
            return 0

    def deliver(self, body: bytes) -> int:
        """Send until it is acknowledged with 200; give the number of attempts. Raises Stopped."""
        pause_s, attempts = _RETRY_S_MIN, 0
        while True:
            attempts += 1
            status = self.post(body)
            if status == 200:
                return attempts
            log.warning("webhook_refused", extra={"status": status, "attempts": attempts})
            if self._wait(pause_s):
                raise Stopped(status)
            pause_s = min(2 * pause_s, _RETRY_S_MAX)
