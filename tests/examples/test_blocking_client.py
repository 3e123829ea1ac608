"""examples/blocking_client.py against a small HTTP server of this test."""

import contextlib
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/blocking_client.py"
BODY = b"0123456789abcdef" * 20_000  # more than one recv, more than the pipe to us


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"], self.request_version))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(*args):
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", EXAMPLE, *map(str, args)],
        capture_output=True,
        timeout=30,
    )


def test_it_prints_what_the_server_answers(server):
    done = fetch("127.0.0.1", server.server_port)
    assert (done.returncode, done.stderr) == (0, b"")
    head, body = done.stdout.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert body == BODY
    assert server.asked == [("/", f"127.0.0.1:{server.server_port}", "HTTP/1.0")]


def test_it_asks_for_the_path_given(server):
    fetch("--path", "/a b?c=ü&d=%20", "127.0.0.1", server.server_port)
    assert [path for path, *_ in server.asked] == ["/a%20b?c=%C3%BC&d=%20"]


@pytest.mark.parametrize("host", ["127.0.0.1", "not..a.name"])
def test_what_goes_wrong_is_said_in_one_line(host):
    with contextlib.closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        done = fetch(host, port)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(f"{host}:{port}: ")
    assert done.stderr.count(b"\n") == 1


def test_an_answer_that_breaks_off_is_an_error_or_its_end_and_never_a_wait():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset():
            sock, _ = listener.accept()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.recv(1)
            sock.close()

        thread = threading.Thread(target=reset)
        thread.start()
        done = fetch("127.0.0.1", listener.getsockname()[1])
        thread.join()
    assert done.returncode == 1
    assert b"reset" in done.stderr
