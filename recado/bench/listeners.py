"""Connected clients that listen to the live feed: each holds one stream of one lead open and reads it."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Generator, Sequence
from typing import Final

import click
import msgspec

_PREFIX: Final = "/api/v1/whatsapp"
_TIMEOUT_S: Final = 20.0
_LOOK_S: Final = 0.2


class Heard(msgspec.Struct):
    events: int = 0
    closed: int = 0


@contextlib.contextmanager
def listening(address: tuple[str, int], token: str, leads: Sequence[str], count: int) -> Generator[Heard]:
    """Open as many streams, of these leads in turn, and count the messages that come."""
    heard = Heard()
    is_over = threading.Event()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for number in range(count):
            connection = stack.enter_context(socket.create_connection(address, timeout=_TIMEOUT_S))
            lead = leads[number % len(leads)]
            connection.sendall(
                f"GET {_PREFIX}/conversations/stream?leadId={lead} HTTP/1.1\r\nHost: bench\r\n"
                f"Authorization: Bearer {token}\r\n\r\n".encode()
            )
            _wait_until_ready(connection)
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)

        def read() -> None:
            while not is_over.is_set():
                for key, _ in selector.select(_LOOK_S):
                    assert isinstance(key.fileobj, socket.socket)
                    try:
                        chunk = key.fileobj.recv(65_536)
                    except OSError:
                        chunk = b""
                    if not chunk:
                        heard.closed += 1
                        selector.unregister(key.fileobj)
                    heard.events += chunk.count(b"event: message")

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield heard
        finally:
            is_over.set()
            reader.join()


def _wait_until_ready(connection: socket.socket) -> None:
    """Read the head and the first event, by which the gateway says that nothing is missed from now on."""
    begun = b""
    while b"event: ready" not in begun:
        chunk = connection.recv(4096)
        begun += chunk
        if not chunk or not begun.startswith(b"HTTP/1.1 200"):
            raise click.ClickException("a stream was refused")
