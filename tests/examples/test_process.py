"""The ROT13 servers as processes: how they start, end, and what they say."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
IGNORING_SIGINT = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", [(), IGNORING_SIGINT], ids=["", "started with SIGINT ignored"])
def test_a_signal_ends_it_with_status_0_and_without_a_word(launch, client, number, before):
    server = launch(before=before)
    with server.connect() as idle, server.connect() as busy:
        client.ask(busy, b"and then\n")
        busy.sendall(b"in the middle of a li")
        server.stop(number)
        assert busy.recv(1) == b""
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_a_signal_before_the_first_client_ends_it(launch):
    launch().stop(signal.SIGINT)


def test_it_says_one_line_when_it_listens(launch, client):
    server = launch()
    with server.connect() as sock:
        client.ask(sock, b"hello\n")
    assert server.host == "127.0.0.1"
    server.send_signal(signal.SIGTERM)
    assert server.process.stdout.read() == b""
    assert server.wait() == 0


@pytest.mark.parametrize("name", ["rot13_bufferevent.py", "rot13_events.py"])
def test_a_port_in_use_is_said_in_one_line(name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", EXAMPLES / name, "--port", port],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{name}: ")
    assert "in use" in done.stderr
    assert done.stderr.count("\n") == 1
