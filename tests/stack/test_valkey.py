import os
import signal
import socket
import stat
from pathlib import Path

from recado.stack import processes, valkey


def launch(server: valkey.Server) -> processes.Child:
    program = server.program({**os.environ})
    program.prepare()
    child = processes.Child(program, server.data.with_name("valkey.log"))
    processes.wait_until_healthy(child)
    return child


def ask(server: valkey.Server, *commands: str) -> str:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        lines = (f"AUTH {server.password}", *commands, "QUIT")
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def test_it_answers_to_its_password_alone(tmp_path: Path) -> None:
    with valkey.running(tmp_path / "valkey") as server:
        assert valkey.ping(server.port, server.password)
        assert not valkey.ping(server.port, "wrong")


def test_what_was_queued_survives_sigkill(tmp_path: Path) -> None:
    server = valkey.Server(data=tmp_path / "valkey", password="secret", port=processes.free_port())
    child = launch(server)
    # WAITAOF returns once it is on disk: appendfsync everysec may lose the last second.
    assert ":1" in ask(server, "RPUSH queue job", "WAITAOF 1 0 5000")

    os.kill(child.pid, signal.SIGKILL)
    child.kill()
    again = launch(server)

    assert "job" in ask(server, "LRANGE queue 0 -1")
    again.stop()


def test_its_password_stands_in_a_file_that_only_we_can_read(tmp_path: Path) -> None:
    with valkey.running(tmp_path / "valkey") as server:
        configuration = tmp_path / "valkey" / "valkey.conf"

        assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
        assert server.password not in " ".join(server.program({}).command)


def test_it_refuses_writes_rather_than_forgetting_a_job(tmp_path: Path) -> None:
    with valkey.running(tmp_path / "valkey") as server:
        assert "noeviction" in ask(server, "CONFIG GET maxmemory-policy")
