"""The gateway as it runs: gunicorn and gevent, over a capture that does what a test tells it."""

import contextlib
import hashlib
import hmac
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.webhook import BODY_BYTES_MAX
from plumbing import tokens
from plumbing.rpc import server
from protos import capture_pb2 as pb, capture_pb2_grpc

SECRET = b"of the app"
PATH = "/webhooks/whatsapp"


class FakeCapture(capture_pb2_grpc.CaptureServiceServicer):
    """Keeps webhooks in memory; slow or broken when a test wants it to be."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.calls = 0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._lock = threading.Lock()

    def IngestWebhooks(
        self, request: pb.IngestWebhooksRequest, context: grpc.ServicerContext
    ) -> pb.IngestWebhooksResponse:
        self.goes_on.wait(10)
        with self._lock:
            self.calls += 1
            self.kept += [webhook.body for webhook in request.webhooks]
        return pb.IngestWebhooksResponse(
            verdicts=[pb.Verdict(state=pb.LEDGER_STATE_PROCESSED) for _ in request.webhooks]
        )


class Gateway:
    def __init__(self, process: "subprocess.Popen[bytes]", port: int, metrics_port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.metrics_port = metrics_port
        self.log = log

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def post(
        self, body: Any, *, signed: bytes | None = None, chunked: bool = False
    ) -> tuple[int, dict[str, str]]:
        """`signed` is what the signature is of: the body, unless that is an iterator."""
        with contextlib.closing(self.connect()) as conn:
            conn.request("POST", PATH, body, sign(body if signed is None else signed), encode_chunked=chunked)
            answer = conn.getresponse()
            answer.read()
            return answer.status, dict(answer.getheaders())

    def get(self, path: str) -> tuple[int, bytes]:
        with contextlib.closing(self.connect()) as conn:
            conn.request("GET", path)
            answer = conn.getresponse()
            return answer.status, answer.read()

    def webhooks(self) -> dict[str, float]:
        """Give the number of webhooks by outcome, from /metrics."""
        conn = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)
        with contextlib.closing(conn):
            conn.request("GET", "/metrics")
            metrics = conn.getresponse().read().decode()
        found = re.findall(r'^recado_webhooks_total\{outcome="(\w+)"\} (\S+)$', metrics, re.MULTILINE)
        return {outcome: float(count) for outcome, count in found}

    def workers(self) -> list[int]:
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # "pid (name) state ppid ..."
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    found.append(int(folder.name))
        return found


def sign(body: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def until(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


@contextlib.contextmanager
def serving(capture: FakeCapture, address: str, auth_secret: str) -> Generator[server.Server]:
    register: Any = capture_pb2_grpc.add_CaptureServiceServicer_to_server
    found = server.start(
        "capture",
        address=address,
        register=lambda grpc_server: register(capture, grpc_server),
        full_names=["recado.capture.v1.CaptureService"],
        verifier=tokens.Verifier(auth_secret),
        workers=8,
    )
    try:
        yield found
    finally:
        capture.goes_on.set()
        found.stop()


@pytest.fixture(scope="module")
def started_capture(auth_secret: str) -> Iterator[tuple[FakeCapture, str]]:
    capture = FakeCapture()
    with serving(capture, "127.0.0.1:0", auth_secret) as found:
        yield capture, found.address


@pytest.fixture
def capture(started_capture: tuple[FakeCapture, str]) -> Iterator[FakeCapture]:
    """An empty one that answers."""
    capture, _ = started_capture
    capture.kept, capture.calls = [], 0
    yield capture
    capture.goes_on.set()


@contextlib.contextmanager
def running(
    folder: Path, capture_address: str, auth_secret: str, *, program: Sequence[str] = ("-m", "gateway")
) -> Generator[Gateway]:
    port, metrics_port, log = free_port(), free_port(), folder / "gateway.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RECADO_")},
        "TMPDIR": str(folder),
        "RECADO_PORT": str(port),
        "RECADO_METRICS_PORT": str(metrics_port),
        "RECADO_META_APP_SECRET": SECRET.decode(),
        "RECADO_META_VERIFY_TOKEN": "of the callback",
        "RECADO_AUTH_SECRET": auth_secret,
        "RECADO_CAPTURE_ADDRESS": capture_address,
        "RECADO_HISTORY_ADDRESS": capture_address,
    }
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, *program], env=environment, stdout=stream, stderr=stream)
    gateway = Gateway(process, port, metrics_port, log)

    def is_live() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return gateway.get("/livez")[0] == 200
        return False

    try:
        until(is_live)
        yield gateway
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, started_capture: tuple[FakeCapture, str], auth_secret: str
) -> Iterator[Gateway]:
    """One for all tests that leave it as they found it."""
    with running(tmp_path_factory.mktemp("gateway"), started_capture[1], auth_secret) as found:
        yield found


@pytest.fixture
def gateway_to_kill(
    tmp_path: Path, started_capture: tuple[FakeCapture, str], auth_secret: str
) -> Iterator[Gateway]:
    with running(tmp_path, started_capture[1], auth_secret) as found:
        yield found


def test_many_at_once_are_all_kept_and_share_calls(gateway: Gateway, capture: FakeCapture):
    bodies = [f"webhook {number}".encode() for number in range(300)]

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(gateway.post, bodies))

    assert {status for status, _ in answers} == {200}
    assert sorted(capture.kept) == sorted(bodies)
    assert capture.calls < len(bodies)


def test_a_connection_serves_one_webhook_after_another(gateway: Gateway, capture: FakeCapture):
    with contextlib.closing(gateway.connect()) as conn:
        for body in (b"first", b"second", b"third"):
            conn.request("POST", PATH, body, sign(body))
            answer = conn.getresponse()
            assert (answer.status, answer.read()) == (200, b"")

    assert capture.kept == [b"first", b"second", b"third"]


def test_who_stops_reading_is_let_go(
    tmp_path: Path, started_capture: tuple[FakeCapture, str], auth_secret: str
):
    impatient = ("-c", "from gateway import __main__ as gateway; gateway._STALLED_S = 0.5; gateway.main()")
    with (
        running(tmp_path, started_capture[1], auth_secret, program=impatient) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as reader,
    ):
        # More answers than all buffers between the two hold, and none of them read.
        asked = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: recado\r\n\r\n" * 400
        reader.sendall(asked)

        until(lambda: "connection_stalled" in gateway.log.read_text())
        assert gateway.get("/livez")[0] == 200
    assert "gunicorn_failed" not in gateway.log.read_text()


def test_a_body_announced_too_large_is_413_before_it_is_sent(gateway: Gateway, capture: FakeCapture):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as sock:
        sock.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\nthe beginning".encode()
        )

        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                answer += part

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"PAYLOAD_TOO_LARGE" in answer
    assert capture.kept == []


def test_a_body_a_little_too_large_is_413_and_the_connection_serves_on(
    gateway: Gateway, capture: FakeCapture
):
    with contextlib.closing(gateway.connect()) as conn:
        conn.request("POST", PATH, b"x" * (BODY_BYTES_MAX + 1))
        answer = conn.getresponse()
        assert answer.status == 413
        answer.read()

        conn.request("POST", PATH, b"good", sign(b"good"))

        assert conn.getresponse().status == 200


def test_chunks_are_counted_while_they_come(gateway: Gateway, capture: FakeCapture):
    assert gateway.post(iter([b"in two ", b"parts"]), signed=b"in two parts", chunked=True)[0] == 200
    assert capture.kept == [b"in two parts"]

    with contextlib.closing(gateway.connect()) as conn:
        conn.putrequest("POST", PATH)
        conn.putheader("Transfer-Encoding", "chunked")
        conn.endheaders()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(BODY_BYTES_MAX // 65536 + 1):
                conn.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        answer = conn.getresponse()

    assert answer.status == 413
    assert len(capture.kept) == 1


def test_a_capture_that_does_not_answer_is_503_within_two_seconds(gateway: Gateway, capture: FakeCapture):
    capture.goes_on.clear()
    started = time.monotonic()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(gateway.post, [f"{number}".encode() for number in range(12)]))

    assert time.monotonic() - started < 2.5
    assert {(status, headers.get("Retry-After")) for status, headers in answers} == {(503, "1")}
    capture.goes_on.set()
    assert gateway.post(b"afterwards")[0] == 200


def test_without_capture_it_is_503_and_full_service_once_capture_is_back(
    tmp_path: Path, capture: FakeCapture, auth_secret: str
):
    address = f"127.0.0.1:{free_port()}"
    with running(tmp_path, address, auth_secret) as gateway:
        started = time.monotonic()
        assert gateway.post(b"too early")[0] == 503
        assert time.monotonic() - started < 2
        assert gateway.get("/readyz")[0] == 503

        with serving(capture, address, auth_secret):
            # Each worker of the gateway connects again in its own time, and either may answer.
            until(lambda: gateway.post(b"again")[0] == 200, within_s=5)
            until(lambda: gateway.get("/readyz")[0] == 200, within_s=5)


def test_a_bad_signature_is_401_with_the_name_of_the_request(gateway: Gateway, capture: FakeCapture):
    status, headers = gateway.post(b"webhook", signed=b"another")

    assert status == 401
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Request-Id"]
    assert capture.kept == []


def test_the_metrics_of_all_workers_are_one(gateway: Gateway, capture: FakeCapture):
    before = gateway.webhooks()

    for _ in range(20):
        gateway.post(b"good")
    gateway.post(b"bad", signed=b"another")

    after = gateway.webhooks()
    assert after["kept"] - before["kept"] == 20
    assert after["refused"] - before["refused"] == 1


def test_a_worker_that_dies_is_replaced_and_its_count_is_kept(gateway_to_kill: Gateway):
    gateway_to_kill.post(b"before")

    for worker in gateway_to_kill.workers():
        os.kill(worker, signal.SIGKILL)

    def is_kept() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return gateway_to_kill.post(b"after")[0] == 200
        return False

    until(is_kept)
    assert gateway_to_kill.webhooks()["kept"] == 2


def test_workers_do_not_outlive_their_master(gateway_to_kill: Gateway):
    workers = gateway_to_kill.workers()
    assert len(workers) == 2

    gateway_to_kill.process.kill()
    gateway_to_kill.process.wait(5)

    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), within_s=10)


def test_the_log_tells_nothing_of_requests(gateway_to_kill: Gateway):
    gateway_to_kill.get("/api/v1/whatsapp/leads?q=5511987654321")
    with socket.create_connection(("127.0.0.1", gateway_to_kill.port), timeout=5) as sock:
        sock.sendall(b"GET /5511987654321 HTTP/nonsense\r\n\r\n")
        sock.recv(65536)

    gateway_to_kill.process.terminate()
    gateway_to_kill.process.wait(20)

    assert "5511987654321" not in gateway_to_kill.log.read_text()


def test_nothing_is_left_behind_by_an_orderly_end(gateway_to_kill: Gateway):
    gateway_to_kill.process.terminate()

    assert gateway_to_kill.process.wait(20) == 0
    assert [path.name for path in gateway_to_kill.log.parent.iterdir()] == [gateway_to_kill.log.name]
