"""A small HTTP server in place of the gateway."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import pytest


class Server:
    """Notes every body, answers 200 or what `status_of` says of its number (from 0)."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.statuses: dict[int, int] = {}
        self.hangs_up_after: set[int] = set()
        self.lock = Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with server.lock:
                    number = len(server.bodies)
                    server.bodies.append(body)
                if number in server.hangs_up_after:
                    self.close_connection = True
                    return
                self.send_response(server.statuses.get(number, 200))
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:  # pyright: ignore[reportImplicitOverride]
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = ("127.0.0.1", self.http.server_port)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    Thread(target=server.http.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.http.shutdown()
    server.http.server_close()
