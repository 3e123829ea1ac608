"""The examples of connections: a proxy, a chat, a file server, echoes on Unix sockets and UDP."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.examples.conftest import PYTHON, ROOT, SECONDS, Client, Server

MIB = 1 << 20


@pytest.fixture
def launch():
    """Starts an example with these arguments; it must end quietly with status 0."""
    with contextlib.ExitStack() as stack:

        def launch(name, *arguments):
            command = [*PYTHON, str(ROOT / "examples" / name), *map(str, arguments)]
            server = stack.enter_context(contextlib.closing(Server(command)))
            stack.callback(server.stop)
            return server

        yield launch


def lines(sock):
    """What comes, line by line."""
    return sock.makefile("rb")


# --- the proxy ----------------------------------------------------------------------


@pytest.fixture
def target():
    """A server behind the proxy: accept() gives its next connection."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(SECONDS)
        yield sock


def through(proxy, target):
    near = proxy.connect()
    far, _ = target.accept()
    far.settimeout(SECONDS)
    return near, far


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_proxy_passes_both_directions_and_half_closes(launch, target, name):
    proxy = launch("tcp_proxy.py", name, target.getsockname()[1])
    near, far = through(proxy, target)
    with near, far:
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        assert Client.receive_all(far) == b"question"
        far.sendall(b"answer")
        far.close()
        assert Client.receive_all(near) == b"answer"


def test_proxy_passes_much_at_once_in_both_directions(launch, target):
    proxy = launch("tcp_proxy.py", "127.0.0.1", target.getsockname()[1])
    one, two = random.Random(1).randbytes(5 * MIB), random.Random(2).randbytes(5 * MIB)
    near, far = through(proxy, target)
    got = []
    with near, far:
        thread = threading.Thread(target=lambda: got.append(Client.exchange(far, two)))
        thread.start()
        assert Client.exchange(near, one) == two
        thread.join()
    assert got == [one]


def test_proxy_holds_little_for_a_side_that_does_not_read(launch, target):
    proxy = launch("tcp_proxy.py", "127.0.0.1", target.getsockname()[1])
    near, far = through(proxy, target)
    with near, far:
        before = proxy.private_dirty()
        near.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 * MIB:
                sent += near.send(b"x" * MIB)
        assert sent < 200 * MIB
        assert proxy.private_dirty() - before < 4 * MIB
        near.shutdown(socket.SHUT_WR)
        assert len(Client.receive_all(far)) == sent


def test_proxy_closes_a_client_whose_target_is_not_there(launch):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        command = [sys.executable, str(ROOT / "examples/tcp_proxy.py"), "127.0.0.1"]
        proxy = Server([*command, str(sock.getsockname()[1])])
        with contextlib.closing(proxy):
            with proxy.connect() as near:
                near.shutdown(socket.SHUT_WR)
                assert Client.receive_all(near) == b""
            proxy.send_signal(signal.SIGTERM)
            assert proxy.wait() == 0
            port = sock.getsockname()[1]
            assert f"Connection refused: '127.0.0.1:{port}'" in proxy.errors()


# --- the chat --------------------------------------------------------------------------


def test_what_one_says_all_others_read(launch):
    chat = launch("chat.py")
    people = []
    for i in range(20):
        sock = chat.connect()
        reader = lines(sock)
        assert reader.readline() == b"* your name?\n"
        sock.sendall(b"person %d\r\n" % i)
        assert reader.readline() == b"* hello person %d; %d here; /quit leaves\n" % (i, i + 1)
        for _, other in people:
            assert other.readline() == b"* person %d has come\n" % i
        people.append((sock, reader))
    people[3][0].sendall("Grüße\nagain\n".encode())
    for i, (_, reader) in enumerate(people):
        if i != 3:
            assert reader.readline().decode() == "person 3: Grüße\n"
            assert reader.readline() == b"person 3: again\n"
    people[3][0].sendall(b"/quit\n")
    assert people[3][1].readline() == b""
    assert people[0][1].readline() == b"* person 3 has gone\n"
    people[4][0].sendall(b"x" * 2000)
    assert people[4][1].readline() == b"* person 3 has gone\n"
    assert people[4][1].readline() == b"* that line is too long\n"
    assert people[4][1].readline() == b""
    for sock, reader in people:
        reader.close()
        sock.close()


def test_who_does_not_read_is_shown_out(launch):
    chat = launch("chat.py")
    with chat.connect() as sleeper, chat.connect() as talker:
        for sock in (sleeper, talker):
            sock.sendall(b"name\n")
        reader = lines(talker)
        text = b"y" * 900 + b"\n"
        talker.settimeout(SECONDS)
        gone = False
        for _ in range(200):
            talker.sendall(text * 100)
            talker.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                gone = b"has gone" in talker.recv(65536)
            talker.setblocking(True)
            if gone:
                break
        assert gone
        reader.close()


# --- the files --------------------------------------------------------------------------


@pytest.fixture
def files(launch, tmp_path):
    """A file server over a directory."""
    directory = tmp_path / "files"
    directory.mkdir()
    (tmp_path / "secret").write_bytes(b"not in the directory")
    (directory / "empty").touch()
    (directory / "large").write_bytes(random.Random(0).randbytes(10 * MIB + 1))
    (directory / "link").symlink_to(tmp_path / "secret")
    (directory / "inner").mkdir()
    (directory / "inner" / "small").write_bytes(b"small file")
    server = launch("file_server.py", directory)
    server.directory = directory
    return server


def ask_for(sock, name):
    """The answer's first line, and the file."""
    sock.sendall(name.encode() + b"\n")
    head = b""
    while not head.endswith(b"\n"):
        head += Client.receive(sock, 1)
    size = int(head.split()[1]) if head.startswith(b"size ") else 0
    return head, Client.receive(sock, size)


def test_files_come_whole_and_one_after_the_other(files):
    with files.connect() as sock:
        for name in ("large", "empty", "inner/small", "large"):
            content = (files.directory / name).read_bytes()
            assert ask_for(sock, name) == (b"size %d\n" % len(content), content)


def test_requests_at_once_are_answered_in_order_and_to_the_end(files):
    large = (files.directory / "large").read_bytes()
    expected = b"size 10\nsmall file" + b"size %d\n" % len(large) + large + b"size 10\nsmall file"
    with files.connect() as sock:
        got = Client.exchange(sock, b"inner/small\nlarge\ninner/small\n")
        assert got == expected


@pytest.mark.parametrize("name", ["nothing", "../secret", "link", "/etc/passwd", ".", ""])
def test_what_is_not_there_is_an_error(files, name):
    with files.connect() as sock:
        head, _ = ask_for(sock, name)
        assert head.startswith(b"error ")
        assert ask_for(sock, "inner/small")[1] == b"small file"


def test_an_error_does_not_tell_where_the_directory_is(files):
    (files.directory / "loop").symlink_to("loop")
    os.mkfifo(files.directory / "pipe")
    (files.directory / "closed").touch(0)
    answers = {
        "nothing": b"error No such file or directory\n",
        "large/inner": b"error Not a directory\n",
        "x" * 300: b"error File name too long\n",
        "../secret": b"error not in the directory\n",
        "pipe": b"error not a file\n",
        ".": b"error not a file\n",
        "loop": b"error ",
        "nul\0": b"error ",
        "closed": b"",  # root may read it
    }
    for name, answer in answers.items():
        with files.connect() as sock:
            head, _ = ask_for(sock, name)
            assert head.startswith(answer)
            assert str(files.directory).encode() not in head


def test_sending_a_large_file_costs_the_server_no_memory(files):
    with files.connect() as sock:
        ask_for(sock, "large")
        before = files.private_dirty()
        for _ in range(5):
            ask_for(sock, "large")
        assert files.private_dirty() - before < MIB


def test_rate_limits_each_client(launch, tmp_path):
    """200 KB at 400 KB a second take half a second at least, less what the first moment allows."""
    (tmp_path / "file").write_bytes(bytes(200_000))
    server = launch("file_server.py", "--rate", 400_000, tmp_path)
    with server.connect() as sock, server.connect() as other:
        start = time.monotonic()
        other.sendall(b"file\n")
        assert ask_for(sock, "file")[1] == bytes(200_000)
        assert time.monotonic() - start > 0.3
        assert len(Client.receive(other, 200_012)) == 200_012
        assert time.monotonic() - start < SECONDS


# --- echoes -------------------------------------------------------------------------------


@contextlib.contextmanager
def unix_echo(*arguments, **options):
    """The process of unix_echo.py, after its first line."""
    with subprocess.Popen(
        [*PYTHON, str(ROOT / "examples/unix_echo.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def echo_of(path, text):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(SECONDS)
        sock.connect(path)
        sock.sendall(text)
        sock.shutdown(socket.SHUT_WR)
        return Client.receive_all(sock)


def stop(process):
    process.terminate()
    assert process.wait(SECONDS) == 0
    assert process.stderr.read() == ""


def test_unix_echo_takes_a_stale_path_over_and_leaves_none(tmp_path):
    path = str(tmp_path / "echo")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    with unix_echo(path) as process:
        assert process.stdout.readline() == f"listening on {path}\n"
        assert echo_of(path, b"hello" * 100_000) == b"hello" * 100_000
        with unix_echo(path) as second:  # somebody answers there
            assert second.wait(SECONDS) != 0
            assert "in use" in second.stderr.read()
        assert echo_of(path, b"still there") == b"still there"
        stop(process)
    assert not os.path.exists(path)


def test_unix_echo_serves_sockets_that_it_inherits(tmp_path):
    """As systemd hands them over, from descriptor 3 on."""
    path = str(tmp_path / "echo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        script = (
            f"import os, sys; os.dup2({sock.fileno()}, 3); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(ROOT / "examples/unix_echo.py")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=sorted({3, sock.fileno()}),
        ) as process:
            try:
                assert process.stdout.readline() == f"listening on {path}, inherited\n"
                assert echo_of(path, b"inherited") == b"inherited"
                stop(process)
            finally:
                process.kill()


def test_unix_echo_without_a_socket_says_so():
    with unix_echo() as process:
        assert process.wait(SECONDS) == 1
        assert "neither a path nor a socket" in process.stderr.read()


def test_udp_echo_sends_every_datagram_back(launch):
    echo = launch("udp_echo.py")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect((echo.host, echo.port))
        for i in range(100):
            sock.send(b"%d" % i * i)
            assert sock.recv(65536) == b"%d" % i * i
