"""The ROT13 servers as processes: how they start, end, and what they say."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
LINES = (b"x" * 99 + b"\n") * 5000  # more than fits into small socket buffers
IGNORING_SIGINT = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", [(), IGNORING_SIGINT], ids=["", "started with SIGINT ignored"])
def test_a_signal_ends_it_with_status_0_and_without_a_word(launch, client, number, before):
    server = launch(before=before)
    with server.connect() as idle, server.connect() as busy:
        client.ask(busy, b"and then\n")
        busy.sendall(b"in the middle of a li")
        server.stop(number)
        with contextlib.suppress(ConnectionResetError):  # it had not read the second piece
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


def cpu_seconds(server):
    with open(f"/proc/{server.pid}/stat") as stat:
        user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors_it_rests_and_serves_the_others_later(launch, client):
    if launch.name in ("libevent", "busy_poll"):
        pytest.skip(f"{launch.name} tries again all the time")
    if launch.name == "fork":
        pytest.skip("each of its processes has descriptors of its own")
    server = launch(before=["sh", "-c", 'ulimit -n 30; exec "$@"', "sh"])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(30)]
        for sock in clients:
            sock.sendall(b"hello\n")
        server.wait_for_fds(30)
        before = cpu_seconds(server)
        time.sleep(0.5)  # not to wait for anything: to see that nothing happens
        assert cpu_seconds(server) - before < 0.25
        for sock in clients:
            assert client.receive(sock, 6) == b"uryyb\n"
            sock.close()


@pytest.fixture(params=["rot13_bufferevent.py", "rot13_events.py"])
def serve(request, server_of):
    """Starts an example's server with other constants."""
    with contextlib.ExitStack() as stack:

        def serve(*settings):
            command = [sys.executable, HERE / "serve.py", EXAMPLES / request.param, *settings]
            return stack.enter_context(contextlib.closing(server_of(command)))

        yield serve


@pytest.mark.parametrize("ends", [False, True], ids=["who asks on", "who has ended"])
def test_who_takes_no_answers_is_given_up_after_a_while(serve, client, ends):
    server = serve("PATIENCE=0.2", "SO_SNDBUF=4096")
    server.warm_up()
    with server.connect(rcvbuf=4096) as sock:
        sock.sendall(LINES)
        if ends:
            sock.shutdown(socket.SHUT_WR)
        server.wait_until_idle()
    server.stop()


def test_who_has_ended_gets_the_answers_that_the_kernel_could_not_take(serve, client):
    server = serve("SO_SNDBUF=4096")
    server.warm_up()
    with server.connect(rcvbuf=4096) as sock, server.connect() as other:
        sock.sendall(LINES)
        sock.shutdown(socket.SHUT_WR)
        for _ in range(200):  # turns of the loop: it has seen the end by now
            client.ask(other, b"hello\n")
        assert client.receive_all(sock) == client.rot13(LINES)
    server.stop()


SERVERS = {
    "rot13_bufferevent.py": [],
    "rot13_events.py": [],
    "rot13_fork.py": [],
    "busy_poll.py": [],
    "rot13_select.py": [],
    "chat.py": [],
    "file_server.py": ["."],
    "tcp_proxy.py": ["127.0.0.1", "80"],
    "udp_echo.py": [],
    "zlib_tunnel.py": ["pack", "127.0.0.1", "80"],
}
NUMERIC = [name for name in SERVERS if "create_server" not in (EXAMPLES / name).read_text()]


def refusal(name, *arguments):
    """The one line of an example that cannot begin."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith(f"{name}: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_a_port_in_use_is_said_in_one_line(name):
    kind = socket.SOCK_DGRAM if name == "udp_echo.py" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = str(taken.getsockname()[1])
        assert "in use" in refusal(name, "--port", port, *SERVERS[name])


@pytest.mark.parametrize("name", NUMERIC)
def test_a_name_for_the_host_is_refused_in_one_line(name):
    told = refusal(name, "--host", "localhost", "--port", "0", *SERVERS[name])
    assert "numeric" in told
    assert "'localhost'" in told


def test_a_directory_that_is_not_there_is_said_in_one_line(tmp_path):
    assert "No such file" in refusal("file_server.py", str(tmp_path / "nothing"))


def test_a_path_that_cannot_be_listened_on_is_said_in_one_line(tmp_path):
    assert "No such file" in refusal("unix_echo.py", str(tmp_path / "nothing/echo"))
    (tmp_path / "file").write_text("no socket")
    assert "in use" in refusal("unix_echo.py", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "no socket"


def test_the_forking_server_ends_its_children_and_leaves_no_zombie(server_of, client):
    command = [sys.executable, EXAMPLES / "rot13_fork.py", "--port", "0"]
    with contextlib.closing(server_of(command)) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                client.ask(stack.enter_context(server.connect()), b"hello\n")
            assert len(children_of(server)) == 5
        for _ in range(5):  # each new client has the server look for children that have ended
            with server.connect() as sock:
                client.ask(sock, b"hello\n")
        with server.connect() as sock:
            client.ask(sock, b"hello\n")
            pids = children_of(server)
            assert len(pids) < 10
            server.stop()
            assert sock.recv(1) == b""
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def children_of(server):
    with open(f"/proc/{server.pid}/task/{server.pid}/children") as children:
        return children.read().split()


def test_the_selecting_server_turns_away_what_select_cannot_watch(server_of, client):
    with open("/proc/self/limits") as limits:
        hard = next(line.split()[4] for line in limits if line.startswith("Max open files"))
    if hard != "unlimited" and int(hard) < 1100:
        pytest.skip("more than 1024 descriptors need a higher hard limit of open files")
    shell = ["sh", "-c", 'ulimit -n 1100; exec "$@"', "sh"]
    command = [*shell, sys.executable, EXAMPLES / "rot13_select.py", "--port", "0"]
    with contextlib.closing(server_of(command)) as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(1030)]
        client.ask(socks[0], b"the first is served\n")
        assert socks[-1].recv(1) == b""  # the last is closed at once
        client.ask(socks[0], b"and all goes on\n")
        server.stop()
