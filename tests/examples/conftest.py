"""The ROT13 servers as processes of their own, for tests that are their clients.

There are two examples on pyevent, and the C program of tests/c/programs linked with our core and
with libevent. A test that takes `server` runs on each of them, on every backend; and on the three
examples without a loop.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import pyevent

ROOT = Path(__file__).parents[2]
SECONDS = 30.0  # for anything to happen; the machine may be busy
PROGRAM = "tests/c/programs/rot13_bufferevent"
PYTHON = [sys.executable, "-X", "dev", "-W", "error"]
COMMANDS = {
    "bufferevent": [*PYTHON, str(ROOT / "examples/rot13_bufferevent.py"), "--port", "0"],
    "events": [*PYTHON, str(ROOT / "examples/rot13_events.py"), "--port", "0"],
    "fork": [*PYTHON, str(ROOT / "examples/rot13_fork.py"), "--port", "0"],
    "busy_poll": [*PYTHON, str(ROOT / "examples/busy_poll.py"), "--port", "0"],
    "select": [*PYTHON, str(ROOT / "examples/rot13_select.py"), "--port", "0"],
    "c": [str(ROOT / "build/c" / PROGRAM)],
    "libevent": [str(ROOT / "build/plain" / f"{PROGRAM}.libevent")],
}
ON_OUR_LOOP = ("bufferevent", "events", "c")
ROT13 = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    b"NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm",
)


def environment(backend=None):
    """Of a server that can use this backend only."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("EVENT_NO")}
    if backend is not None:
        for other in pyevent.get_supported_methods():
            if other != backend:
                env[f"EVENT_NO{other.upper()}"] = "1"
    return env


def wait_until(is_true, what):
    """Poll for what only another process knows."""
    give_up_at = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < give_up_at, f"it did not come to this: {what}"
        time.sleep(0.005)


class Server:
    """A server in a process of its own, which prints "listening on HOST:PORT" first."""

    def __init__(self, command, backend=None):
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  close() closes it
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.stderr, env=environment(backend)
        )
        self.pid = self.process.pid
        try:
            self.host, port = self.read_line().removeprefix("listening on ").rsplit(":", 1)
            self.port = int(port)
        except BaseException:
            self.close()
            raise
        self.idle_fds = None

    def read_line(self):
        """The next line of its output."""
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
            assert ready, f"no line, but {line!r}"
            byte = os.read(self.process.stdout.fileno(), 1)
            assert byte, f"it has ended: {self.errors()}"
            line += byte
        return line.decode().rstrip("\n")

    def errors(self):
        """What it has printed on stderr so far."""
        self.stderr.seek(0)
        return self.stderr.read().decode()

    def connect(self, rcvbuf=None):
        """A new connection, without delay and with a time limit."""
        sock = socket.socket()
        sock.settimeout(SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rcvbuf is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        try:
            sock.connect((self.host, self.port))
        except BaseException:
            sock.close()
            raise
        return sock

    def fds(self):
        """How many descriptors it has."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def private_dirty(self):
        """Bytes of memory that are its own."""
        with open(f"/proc/{self.pid}/smaps_rollup") as lines:
            for line in lines:
                if line.startswith("Private_Dirty:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no Private_Dirty")

    def warm_up(self):
        """Answer a first line, and note what it has open without connections."""
        with self.connect() as sock:
            Client.ask(sock, b"hello\n")
            self.idle_fds = self.fds() - 1

    def wait_for_fds(self, count):
        """Until it has so many descriptors."""
        wait_until(lambda: self.fds() == count, f"it has {count} descriptors")

    def wait_until_idle(self):
        """Until all connections are closed; after warm_up()."""
        self.wait_for_fds(self.idle_fds)

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its exit status."""
        return self.process.wait(SECONDS)

    def stop(self, number=signal.SIGTERM):
        """End it and check that it goes as it should: quietly, with status 0."""
        self.send_signal(number)
        status = self.wait()
        assert (status, self.errors()) == (0, "")

    def close(self):
        """End it if it still runs, and be done with it."""
        self.process.kill()
        self.wait()
        self.process.stdout.close()
        self.stderr.close()


class ForkingServer(Server):
    """What others have in descriptors this one has in processes."""

    def children(self):
        """Those that have not ended; a zombie is only buried with the next connection."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
            return [pid for pid in children.read().split() if not is_zombie(pid)]

    def fds(self):
        return len(self.children())


def is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def start(name, backend=None, before=()):
    """One of the servers; `before` is put before its command."""
    command = COMMANDS[name]
    if name in ("c", "libevent") and not os.path.exists(command[0]):
        reason = "libevent-dev is not installed" if name == "libevent" else "make builds it"
        pytest.skip(f"{os.path.relpath(command[0], ROOT)} is not there: {reason}")
    return (ForkingServer if name == "fork" else Server)([*before, *command], backend)


def kinds():
    """(server, backend) pairs: ours on every backend that opens here."""
    for name in COMMANDS:
        for backend in pyevent.backends() if name in ON_OUR_LOOP else [None]:
            yield pytest.param((name, backend), id="-".join(filter(None, (name, backend))))


@pytest.fixture(params=kinds(), scope="module")
def shared_server(request):
    """A running server for all tests of a module."""
    with contextlib.closing(start(*request.param)) as running:
        running.name = request.param[0]
        running.warm_up()
        yield running
        running.stop()


@pytest.fixture
def server(shared_server):
    """The same, and the test leaves no connection open in it."""
    yield shared_server
    shared_server.wait_until_idle()


@pytest.fixture(params=list(COMMANDS))
def launch(request):
    """Starts one of the servers, ended after the test: launch(backend, before)."""
    with contextlib.ExitStack() as stack:

        def launch(backend=None, before=()):
            return stack.enter_context(contextlib.closing(start(request.param, backend, before)))

        launch.name = request.param
        yield launch


@pytest.fixture(scope="session")
def server_of():
    """The class: a server of a command."""
    return Server


class Client:
    """What the tests do with a connection; every wait has a limit."""

    @staticmethod
    def rot13(data):
        return data.translate(ROT13)

    @staticmethod
    def receive(sock, size):
        """Exactly so many bytes, unless the end comes before."""
        parts = []
        while size > 0:
            part = sock.recv(min(size, 1 << 20))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    @staticmethod
    def receive_all(sock):
        """All bytes until the end."""
        return Client.receive(sock, 1 << 40)

    @staticmethod
    def ask(sock, line):
        """One line, and its answer checked."""
        sock.sendall(line)
        assert Client.receive(sock, len(line)) == line.translate(ROT13)

    @staticmethod
    def exchange(sock, data):
        """Send all, end the sending side, and receive all until the end, both at once."""
        parts, at, view = [], 0, memoryview(data)
        sock.setblocking(False)
        while True:
            writes = [sock] if at < len(data) else []
            readable, writable, _ = select.select([sock], writes, [], SECONDS)
            assert readable or writable, f"it hangs after {at} bytes sent"
            if writable:
                at += sock.send(view[at : at + (1 << 20)])
                if at == len(data):
                    sock.shutdown(socket.SHUT_WR)
            if readable:
                part = sock.recv(1 << 20)
                if not part:
                    return b"".join(parts)
                parts.append(part)

    @staticmethod
    def reset(sock):
        """Vanish: close with RST, whatever is on its way."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()


@pytest.fixture
def client():
    return Client
