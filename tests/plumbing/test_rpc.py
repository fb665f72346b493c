import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given, strategies as st
from prometheus_client import REGISTRY

from plumbing import errors, tokens
from plumbing.rpc import client, health, interceptors, server, status
from recado.stack import processes
from tests.plumbing import echo

ROOT = Path(__file__).parents[2]


class Switch:
    def __init__(self) -> None:
        self.is_on = True

    def __call__(self) -> bool:
        return self.is_on


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def running(auth_secret: str, switch: Switch) -> Iterator[server.Server]:
    started = server.start(
        "echo",
        address="127.0.0.1:0",
        register=echo.register,
        full_names=[echo.NAME],
        verifier=tokens.Verifier(auth_secret),
        workers=4,
        ready=switch,
    )
    yield started
    started.stop()


@pytest.fixture
def channel(running: server.Server) -> Iterator[grpc.Channel]:
    with client.open_channel(running.address) as opened:
        yield opened


@pytest.fixture
def ask(channel: grpc.Channel, owner: str) -> Callable[..., bytes]:
    """Call a method of echo as the owner."""

    def ask(
        name: str,
        request: bytes = b"",
        *,
        token: str = owner,
        timeout_s: float = 5,
        request_id: str | None = None,
    ) -> bytes:
        method = echo.unary_method(channel, name)
        return client.call(method, request, token=token, timeout_s=timeout_s, request_id=request_id)

    return ask


def test_a_call_knows_its_caller_its_id_and_its_time(ask: Callable[..., bytes]):
    assert ask("DescribeCaller", request_id="r-1", timeout_s=30) == b"olivia r-1 30"


@pytest.mark.parametrize("request_id", [None, "", "x" * 65, "two words", "a:b"])
def test_a_call_without_a_fit_id_is_given_one(ask: Callable[..., bytes], request_id: str | None):
    made = ask("DescribeCaller", request_id=request_id).decode().split()[1]

    assert len(made) == 36


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_a_call_without_a_token_that_verifies_is_refused(ask: Callable[..., bytes], token: str):
    with pytest.raises(errors.Unauthenticated):
        ask("Say", b"hello", token=token)


@pytest.mark.parametrize("metadata", [[], [("authorization", "Basic YTpi")], [("authorization", "Bearer")]])
def test_a_call_must_carry_a_bearer_token(channel: grpc.Channel, metadata: list[tuple[str, str]]):
    with pytest.raises(grpc.RpcError) as raised:
        echo.unary_method(channel, "Say")(b"hello", timeout=5, metadata=metadata)

    assert isinstance(raised.value, grpc.Call)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_stream_needs_a_token_too(channel: grpc.Channel):
    with pytest.raises(errors.Unauthenticated):
        list(client.stream(echo.streaming_method(channel, "Count"), b"2", token="x", timeout_s=5))


@pytest.mark.parametrize("kind", errors.BY_GRPC_CODE.values())
def test_every_error_crosses_intact(ask: Callable[..., bytes], kind: type[errors.RecadoError]):
    with pytest.raises(kind) as raised:
        ask("Raise", f"{kind.__name__}:não há".encode())

    assert raised.value.detail == "não há"
    assert raised.value.fields == (
        errors.FieldFault("limit", "must be 1 to 1000"),
        errors.FieldFault("cursor", "não é daqui"),
    )
    assert raised.value.retry_after_s == 1.5


@pytest.mark.parametrize("name", ["Bug", "Retry"])
def test_a_bug_is_logged_and_tells_nothing(
    ask: Callable[..., bytes], name: str, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(errors.Internal) as raised:
        ask("Raise", f"{name}:a person".encode())

    assert raised.value.detail == "internal error"
    assert [record.message for record in caplog.records if record.name == interceptors.__name__] == [
        "rpc_failed"
    ]


def test_every_code_but_ok_has_a_class_or_is_a_failure_of_the_transport():
    transport = {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.DATA_LOSS,
    }

    assert set(errors.BY_GRPC_CODE) == set(grpc.StatusCode) - transport
    assert {kind.reason for kind in errors.BY_GRPC_CODE.values()} == {
        code.name for code in errors.BY_GRPC_CODE
    }


@given(st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=60))
def test_whatever_an_error_says_fits_the_wire(detail: str, fields: list[tuple[str, str]]):
    error = errors.InvalidArgument(
        detail.encode(errors="replace").decode(),
        fields=tuple(
            errors.FieldFault(*(text.encode(errors="replace").decode() for text in fault)) for fault in fields
        ),
    )

    metadata = dict(status.to_status(error).trailing_metadata or ())

    assert sum(len(value) for value in metadata.values()) < 20_000


def test_an_unknown_method_is_a_failure_without_details(ask: Callable[..., bytes]):
    with pytest.raises(errors.Internal, match="the service failed"):
        ask("Nothing")


def test_a_stream_ends_with_its_error(channel: grpc.Channel, owner: str):
    seen: list[bytes] = []
    responses = client.stream(echo.streaming_method(channel, "Count"), b"9", token=owner, timeout_s=5)

    with pytest.raises(errors.ResourceExhausted) as raised:
        seen.extend(responses)

    assert seen == [b"0", b"1", b"2"]
    assert raised.value.retry_after_s == 7


def test_a_reader_that_goes_away_ends_the_stream(channel: grpc.Channel, owner: str, tmp_path: Path):
    closed = tmp_path / "closed"
    method = echo.streaming_method(channel, "CountForEver")
    responses = client.stream(method, str(closed).encode(), token=owner, timeout_s=60)
    assert next(responses) == b"more"

    responses.close()

    deadline = time.monotonic() + 5
    while not closed.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_call_that_takes_too_long_is_given_up(ask: Callable[..., bytes]):
    started = time.monotonic()

    with pytest.raises(errors.DeadlineExceeded):
        ask("Sleep", b"2", timeout_s=0.2)

    assert time.monotonic() - started < 1


def test_a_call_given_up_while_it_waited_is_not_served(running: server.Server, ask: Callable[..., bytes]):
    def served() -> float:
        labels = {"method": f"/{echo.NAME}/Say", "code": "OK"}
        return REGISTRY.get_sample_value("recado_rpc_calls_total", labels) or 0.0

    ask("Say", b"hello")
    before = served()
    sleepers = [threading.Thread(target=ask, args=("Sleep", b"1")) for _ in range(4)]
    for sleeper in sleepers:
        sleeper.start()
    time.sleep(0.2)
    with pytest.raises(errors.DeadlineExceeded):
        ask("Say", b"hello", timeout_s=0.2)
    for sleeper in sleepers:
        sleeper.join()
    ask("Sleep", b"0")

    assert served() == before


def test_health_is_told_while_every_thread_is_busy(running: server.Server, ask: Callable[..., bytes]):
    sleepers = [threading.Thread(target=ask, args=("Sleep", b"1")) for _ in range(8)]
    for sleeper in sleepers:
        sleeper.start()
    time.sleep(0.1)
    started = time.monotonic()

    assert health.is_serving(running.address, timeout_s=1)

    assert time.monotonic() - started < 0.5
    for sleeper in sleepers:
        sleeper.join()


def test_forty_megabytes_pass_and_more_do_not(ask: Callable[..., bytes]):
    large = bytes(39 * 1024 * 1024)

    assert ask("Say", large, timeout_s=30) == large
    with pytest.raises(errors.ResourceExhausted):
        ask("Say", bytes(41 * 1024 * 1024), timeout_s=30)


def test_a_long_token_fits(ask: Callable[..., bytes], token_for: Callable[..., str]):
    token = token_for("padaria", instances=[f"01890a5d-ac96-774b-bcce-b302099a8{n:03}" for n in range(100)])

    assert ask("Say", b"hello", token=token) == b"hello"


def test_calls_are_counted_and_timed(ask: Callable[..., bytes]):
    def sample(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"method": f"/{echo.NAME}/Raise", **labels}) or 0.0

    before = sample("recado_rpc_calls_total", code="NOT_FOUND"), sample("recado_rpc_seconds_count")

    with pytest.raises(errors.NotFound):
        ask("Raise", b"NotFound:x")

    after = sample("recado_rpc_calls_total", code="NOT_FOUND"), sample("recado_rpc_seconds_count")
    assert after == (before[0] + 1, before[1] + 1)


def health_of(channel: grpc.Channel, name: str) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=2).status


def test_health_follows_readiness_and_calls_are_served_all_the_same(
    channel: grpc.Channel, ask: Callable[..., bytes], switch: Switch
):
    states = health_pb2.HealthCheckResponse
    assert health_of(channel, "") == health_of(channel, echo.NAME) == states.SERVING

    for is_on, state in ((False, states.NOT_SERVING), (True, states.SERVING)):
        switch.is_on = is_on
        deadline = time.monotonic() + 5
        while health_of(channel, "") != state:
            assert time.monotonic() < deadline
            assert ask("Say", b"hello") == b"hello"
            time.sleep(0.05)
        assert health_of(channel, echo.NAME) == state


def test_a_service_that_is_not_ready_at_its_start_says_so(auth_secret: str):
    def ready() -> bool:
        raise ConnectionError

    started = server.start(
        "echo",
        address="127.0.0.1:0",
        register=echo.register,
        full_names=[echo.NAME],
        verifier=tokens.Verifier(auth_secret),
        workers=1,
        ready=ready,
    )

    assert not health.is_serving(started.address, timeout_s=2)
    started.stop()


def test_reflection_lists_the_services_to_anybody(channel: grpc.Channel):
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    (response,) = stub.ServerReflectionInfo(iter([request]), timeout=5)

    names = {service.name for service in response.list_services_response.service}
    assert {echo.NAME, "grpc.health.v1.Health"} <= names


def test_a_port_that_is_taken_is_refused(running: server.Server, auth_secret: str):
    with pytest.raises(RuntimeError):
        server.start(
            "echo",
            address=running.address,
            register=echo.register,
            full_names=[],
            verifier=tokens.Verifier(auth_secret),
            workers=1,
        )


def test_nobody_listening_is_unavailable_at_once(owner: str):
    with client.open_channel(f"127.0.0.1:{processes.free_port()}") as opened:
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(errors.Unavailable) as raised:
                client.call(echo.unary_method(opened, "Say"), b"", token=owner, timeout_s=10)
            assert raised.value.retry_after_s == 1
            assert time.monotonic() - started < 1.5


class Process:
    """echo in a process of its own, on one port through its restarts."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.address = f"127.0.0.1:{processes.free_port()}"
        self._log = folder / "echo.log"
        self._secret = secret
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.plumbing.echo", self.address, self._secret],
                cwd=ROOT,
                stderr=log,
            )

    def wait_until_serving(self) -> None:
        deadline = time.monotonic() + 15
        while not health.is_serving(self.address, timeout_s=1):
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(timeout=20)

    @property
    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self._log.read_text().splitlines()]


@pytest.fixture
def process(tmp_path: Path, auth_secret: str) -> Iterator[Process]:
    made = Process(tmp_path, auth_secret)
    made.start()
    made.wait_until_serving()
    yield made
    made.signal(signal.SIGKILL)
    made.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_asked_to_stop_finishes_its_calls(process: Process, owner: str, number: signal.Signals):
    responses: list[bytes] = []

    def ask() -> None:
        with client.open_channel(process.address) as opened:
            method = echo.unary_method(opened, "Sleep")
            responses.append(client.call(method, b"1.5", token=owner, timeout_s=10))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.5)
    process.signal(number)
    time.sleep(0.3)
    assert not health.is_serving(process.address, timeout_s=1)
    asking.join()

    assert responses == [b"slept"]
    assert process.wait() == 0
    assert process.events == ["listening", "closed", "stopped"]


def test_a_service_that_was_killed_is_found_again_within_a_second_or_two(process: Process, owner: str):
    with client.open_channel(process.address) as opened:
        say = echo.unary_method(opened, "Say")
        assert client.call(say, b"1", token=owner, timeout_s=5) == b"1"
        process.signal(signal.SIGKILL)
        process.wait()
        away_until = time.monotonic() + 5
        while time.monotonic() < away_until:
            started = time.monotonic()
            with pytest.raises(errors.Unavailable):
                client.call(say, b"2", token=owner, timeout_s=5)
            assert time.monotonic() - started < 1.5
            time.sleep(0.1)

        process.start()
        process.wait_until_serving()

        back_at = time.monotonic()
        while True:
            try:
                assert client.call(say, b"3", token=owner, timeout_s=5) == b"3"
                break
            except errors.Unavailable:
                assert time.monotonic() - back_at < 2
                time.sleep(0.05)


def test_a_call_cut_off_by_a_kill_is_unavailable(process: Process, owner: str):
    killing = threading.Timer(0.5, process.signal, (signal.SIGKILL,))
    killing.start()
    with client.open_channel(process.address) as opened, pytest.raises(errors.Unavailable):
        client.call(echo.unary_method(opened, "Sleep"), b"10", token=owner, timeout_s=20)
    killing.join()


def test_calls_under_gevent_wait_without_holding_up_the_others(process: Process, owner: str):
    program = f"""
import gevent.monkey
gevent.monkey.patch_all()
from plumbing.rpc import client
client.prepare_gevent()
import time
import gevent
from plumbing import errors
from tests.plumbing import echo

channel = client.open_channel({process.address!r})
sleep = echo.unary_method(channel, "Sleep")
started = time.monotonic()
waiting = [
    gevent.spawn(client.call, sleep, b"0.5", token={owner!r}, timeout_s=5) for _ in range(4)
]
turns = 0
while not all(greenlet.ready() for greenlet in waiting):
    gevent.sleep(0.01)
    turns += 1
assert [greenlet.get() for greenlet in waiting] == [b"slept"] * 4
assert time.monotonic() - started < 1.5, "one after the other"
assert turns > 10, "the calls held up the loop"
assert list(client.stream(echo.streaming_method(channel, "Count"), b"3", token={owner!r}, timeout_s=5)) == [
    b"0", b"1", b"2"
]
try:
    client.call(echo.unary_method(channel, "Raise"), b"NotFound:nobody", token={owner!r}, timeout_s=5)
except errors.NotFound as error:
    print(error.detail)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, "nobody\n"), done.stderr


def test_a_new_channel_does_not_wait_out_the_back_off_of_another(auth_secret: str) -> None:
    address = f"127.0.0.1:{processes.free_port()}"
    with client.open_channel(address) as waiting:
        stub: Any = health_pb2_grpc.HealthStub(waiting)
        with pytest.raises(errors.Unavailable):
            client.call(
                stub.Check,
                health_pb2.HealthCheckRequest(),
                token="",
                timeout_s=2,
            )
        running = server.start(
            "echo",
            address=address,
            register=lambda grpc_server: None,
            full_names=[],
            verifier=tokens.Verifier(auth_secret),
            workers=1,
        )
        try:
            assert health.is_serving(address, timeout_s=5)
        finally:
            running.stop()
