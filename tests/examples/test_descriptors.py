"""No example keeps a descriptor of a connection that has ended, whichever way it went."""

import contextlib
import os
import socket
import threading

import pytest

from tests.examples.conftest import PYTHON, ROOT, SECONDS, Client, Server, wait_until


def count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Running:
    """An example's server, how one connects to it and talks to it."""

    def __init__(self, process, connect, talk=b"", target=None):
        self.pid = process.pid
        self.connect = connect
        self.talk = talk
        self.target = target

    def open(self):
        """Both ends of a conversation: the client's and, of a proxy, the target's."""
        near = self.connect()
        if self.target is None:
            return near, None
        far, _ = self.target.accept()
        far.settimeout(SECONDS)
        return near, far

    def idle(self):
        """How many descriptors it has without a connection; it may still be starting."""
        near, far = self.open()
        with near, far or contextlib.nullcontext():
            if far is None:
                near.sendall(b"hello\n")
                assert near.recv(1)
            return count(self.pid) - (1 if far is None else 2)


@pytest.fixture(params=["chat", "file_server", "tcp_proxy", "pack", "unpack", "unix_echo"])
def running(request, tmp_path):
    with contextlib.ExitStack() as stack:
        target = None
        if request.param in ("tcp_proxy", "pack", "unpack"):
            target = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            target.settimeout(SECONDS)

        def start(name, *arguments):
            command = [*PYTHON, str(ROOT / "examples" / name), *map(str, arguments)]
            return stack.enter_context(contextlib.closing(Server(command)))

        if request.param == "unix_echo":
            path = str(tmp_path / "echo")
            command = [*PYTHON, str(ROOT / "examples/unix_echo.py"), path]
            server = stack.enter_context(contextlib.closing(UnixServer(command, path)))
            yield Running(server, server.connect, b"hello")
        elif request.param == "chat":
            server = start("chat.py")
            yield Running(server, server.connect, b"somebody\nhello\n")
        elif request.param == "file_server":
            (tmp_path / "file").write_bytes(bytes(100_000))
            server = start("file_server.py", tmp_path)
            yield Running(server, server.connect, b"file\n")
        else:
            where = ["127.0.0.1", target.getsockname()[1]]
            tunnel = request.param != "tcp_proxy"
            name = "zlib_tunnel.py" if tunnel else "tcp_proxy.py"
            server = start(name, *[request.param] * tunnel, *where)
            yield Running(server, server.connect, b"hello", target)


class UnixServer(Server):
    """Its first line has a path, no port."""

    def __init__(self, command, path):
        self.path = path
        super().__init__(command)

    def read_line(self):
        return f"{super().read_line()}:0"

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(SECONDS)
        sock.connect(self.path)
        return sock


def ends_its_side(sock):
    sock.shutdown(socket.SHUT_WR)


def reads_to_the_end(sock):
    with contextlib.suppress(ConnectionResetError):
        Client.receive_all(sock)
    sock.close()


WAYS = [ends_its_side, socket.socket.close, Client.reset]


@pytest.mark.parametrize("way", WAYS, ids=["ends its side", "closes", "resets"])
@pytest.mark.parametrize("speaks", [True, False], ids=["after words", "silent"])
@pytest.mark.parametrize("first", ["client", "target"])
def test_a_connection_that_has_ended_leaves_no_descriptor(running, way, speaks, first):
    if first == "target" and running.target is None:
        pytest.skip("there is nobody behind it")
    idle = running.idle()
    for _ in range(3):
        near, far = running.open()
        if speaks:
            near.sendall(running.talk)
        ends = [near] if far is None else [near, far]
        if first == "target":
            ends.reverse()
        for sock in ends:
            way(sock)
            if way is not ends_its_side:
                break
        for sock in ends:
            if sock.fileno() >= 0:
                reads_to_the_end(sock)
        wait_until(lambda: count(running.pid) == idle, "the connection's descriptors are closed")


@pytest.mark.parametrize("name", ["tcp_proxy.py", "zlib_tunnel.py"])
def test_a_thousand_requests_pass_with_few_descriptors(name):
    """Where each left one for a minute, three of four failed."""
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        target.settimeout(SECONDS)

        def start(*arguments):
            limited = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]
            command = [*limited, *PYTHON, str(ROOT / "examples" / name), *map(str, arguments)]
            return stack.enter_context(contextlib.closing(Server(command)))

        where = ["127.0.0.1", target.getsockname()[1]]
        if name == "zlib_tunnel.py":
            where[1] = start("unpack", *where).port
            server = start("pack", *where)
        else:
            server = start(*where)

        def serve():
            for _ in range(1000):
                sock, _ = target.accept()
                with sock:
                    sock.settimeout(SECONDS)
                    sock.sendall(b"answer to " + Client.receive_all(sock))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        for i in range(1000):
            with server.connect() as sock:
                sock.sendall(b"%d" % i)
                sock.shutdown(socket.SHUT_WR)
                assert Client.receive_all(sock) == b"answer to %d" % i
        thread.join(SECONDS)
        assert not thread.is_alive()
