"""Sockets from outside: handed over by a service manager, or left behind on a Unix path."""

import errno
import os
import socket
import subprocess
import sys

import pytest

import pyevent
from pyevent import LEV_OPT_CLOSE_ON_FREE, LEV_OPT_UNLINK_STALE, Listener, listen_fds


@pytest.fixture
def environment(monkeypatch):
    def environment(**names):
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in names.items():
            monkeypatch.setenv(name, str(value))

    return environment


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"LISTEN_FDS": 1},
        {"LISTEN_FDS": 1, "LISTEN_PID": 1},
        {"LISTEN_FDS": 0, "LISTEN_PID": os.getpid()},
        {"LISTEN_FDS": "-1", "LISTEN_PID": os.getpid()},
        {"LISTEN_FDS": "one", "LISTEN_PID": os.getpid()},
        {"LISTEN_FDS": 1, "LISTEN_PID": "me"},
        {"LISTEN_PID": os.getpid()},
    ],
)
def test_without_an_offer_to_this_process_there_are_none(environment, names):
    environment(**names)
    assert listen_fds() == []


def test_offered_descriptors_are_listed_once_and_not_inherited():
    program = """
import os
from pyevent import listen_fds
pipe = os.pipe()
os.dup2(pipe[0], 5), os.dup2(pipe[1], 6)
os.dup2(5, 3), os.dup2(6, 4)
for fd in (3, 4):
    os.set_inheritable(fd, True)
offer = dict(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="a:b")
os.environ.update(offer)
assert listen_fds(unset_environment=False) == [3, 4] == listen_fds()
assert not os.get_inheritable(3) and not os.get_inheritable(4)
assert not os.get_blocking(3) and not os.get_blocking(4)
assert not set(offer) & set(os.environ)
assert listen_fds() == []
os.close(4)
os.environ.update(offer, LISTEN_FDS="100000000")
try:
    listen_fds()
except OSError:
    print("ok")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
@pytest.mark.parametrize("listens", [True, False])
def test_inherited_socket_is_served(streams, base, tmp_path, family, listens):
    """Whether it listens already or not; its number is all there is."""
    sock = socket.socket(family)
    sock.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "socket"))
    if listens:
        sock.listen()
    address = sock.getsockname()
    accepted = []
    listener = Listener(
        base, sock.detach(), lambda listener, fd, peer, arg: (os.close(fd), accepted.append(fd))
    )
    assert listener.address == address
    with socket.socket(family) as client:
        client.connect(address)
        streams.until(lambda: accepted)
    listener.close()


def test_inherited_datagram_socket_does_not_stop_the_loop(run_python):
    run_python("""
    import os, socket
    from pyevent import Datagram, EventBase, EV_TIMEOUT, listen_fds

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    address = sock.getsockname()
    fd = sock.detach()
    if fd != 3:
        os.dup2(fd, 3)
        os.close(fd)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    got = []
    with EventBase() as base, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        (fd,) = listen_fds()
        datagram = Datagram(base, fd)
        datagram.setcb(lambda datagram, batch, arg: got.extend(batch))
        far.sendto(b"hello", address)
        base.once(-1, EV_TIMEOUT, lambda *args: base.loopbreak(), None, 0.1)
        base.dispatch()
    assert got == [(b"hello", got[0][1])], got
    """)


def nobody(*args):
    raise AssertionError("nobody connects")


def test_used_path_is_refused_unless_it_is_stale(streams, base, tmp_path):
    path = str(tmp_path / "socket")
    first = Listener(base, path, nobody)
    for _ in range(2):
        with pytest.raises(OSError, match="in use"):
            Listener(base, path, nobody)
        with pytest.raises(OSError, match="in use"):  # somebody listens there
            Listener(base, path, nobody, unlink_stale=True)
    first.close()
    assert os.path.exists(path)
    with pytest.raises(OSError, match="in use"):
        Listener(base, path, nobody)
    accepted = []
    second = Listener(
        base,
        path,
        lambda listener, fd, peer, arg: (os.close(fd), accepted.append(peer)),
        flags=LEV_OPT_CLOSE_ON_FREE | LEV_OPT_UNLINK_STALE,
    )
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        streams.until(lambda: accepted)
    second.close()


def test_path_of_a_server_that_does_not_listen_yet_is_left_alone(base, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as starting, socket.socket(socket.AF_UNIX) as client:
        starting.bind(path)
        with pytest.raises(OSError, match="in use"):
            Listener(base, path, nobody, unlink_stale=True)
        starting.listen()
        client.connect(path)


def test_of_many_that_start_on_a_stale_path_one_wins(tmp_path):
    program = """
import sys
from pyevent import EventBase, Listener
path, = sys.argv[1:]
base = EventBase()
print("ready", flush=True)
sys.stdin.readline()
try:
    listener = Listener(base, path, unlink_stale=True)
except OSError as exc:
    print("lost", exc.errno, flush=True)
else:
    print("won", flush=True)
    sys.stdin.readline()
    listener.close()
base.close()
"""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", program, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    try:
        for starter in starters:
            assert starter.stdout.readline() == "ready\n"
        for starter in starters:
            starter.stdin.write("go\n")
            starter.stdin.flush()
        results = sorted(starter.stdout.readline() for starter in starters)
        assert results == [f"lost {errno.EADDRINUSE}\n"] * 4 + ["won\n"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    finally:
        for starter in starters:
            starter.communicate("stop\n", timeout=30)
    assert os.listdir(tmp_path) == ["socket"]  # and no lock file


def test_other_file_than_a_socket_is_never_removed(base, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    link = tmp_path / "link"
    link.symlink_to(path)
    for used in (path, link):
        with pytest.raises(OSError, match="in use"):
            Listener(base, used, nobody, unlink_stale=True)
    assert path.read_text() == "precious"
    assert link.is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_abstract_name_leaves_nothing_behind(base):
    name = b"\0pyevent-test-%d" % os.getpid()
    first = Listener(base, name, nobody, unlink_stale=True)
    with pytest.raises(OSError, match="in use"):
        Listener(base, name, nobody, unlink_stale=True)
    first.close()
    Listener(base, name, nobody).close()


def test_flat_name_takes_the_flag(base, tmp_path):
    path = str(tmp_path / "socket")
    Listener(base, path).close()
    flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_UNLINK_STALE
    pyevent.evconnlistener_new_bind(base, nobody, None, flags, -1, path).close()
