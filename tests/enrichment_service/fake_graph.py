"""A Graph API for tests: an HTTP server in a thread that answers as it was told, request by request."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b'{"data":[]}'
    headers: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    delay_s: float = 0.0
    drops_connection: bool = False
    byte_delay_s: float = 0.0
    """Send the body byte by byte with this pause before each."""


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    parameters: dict[str, list[str]]
    authorization: str | None


def answered(value: object, **more: Any) -> Reply:
    return Reply(body=msgspec.json.encode(value), **more)


def refused(code: int, *, status: int = 400, headers: Mapping[str, str] | None = None, **more: Any) -> Reply:
    """Meta's error envelope. Source: "Cloud API error codes"."""
    error = {"message": "(#1) synthetic", "type": "OAuthException", "code": code, **more}
    return Reply(status=status, body=msgspec.json.encode({"error": error}), headers=headers or {})


class FakeGraph:
    """Gives the replies of `replies` in turn, the last one again and again."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque([Reply()])
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def will(self, *replies: Reply) -> None:
        self.replies = deque(replies)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        with self._lock:
            asked = Asked(parts.path, parse_qs(parts.query), handler.headers["Authorization"])
            self.asked.append(asked)
            reply = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
        if reply.delay_s:
            time.sleep(reply.delay_s)
        handler.close_connection = True
        if reply.drops_connection:
            return
        try:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(reply.body)))
            handler.send_header("Connection", "close")
            handler.end_headers()
            if not reply.byte_delay_s:
                handler.wfile.write(reply.body)
                return
            for byte in reply.body:
                time.sleep(reply.byte_delay_s)
                handler.wfile.write(bytes([byte]))
        except OSError:
            return  # whoever asked has hung up
