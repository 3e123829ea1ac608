"""Sockets from outside: handed over by a service manager, or left behind on a Unix path."""

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
os.dup2(0, 3), os.dup2(0, 4)
for fd in (3, 4):
    os.set_inheritable(fd, True)
offer = dict(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="a:b")
os.environ.update(offer)
assert listen_fds(unset_environment=False) == [3, 4] == listen_fds()
assert not os.get_inheritable(3) and not os.get_inheritable(4)
assert not set(offer) & set(os.environ)
assert listen_fds() == []
os.close(4)
os.environ.update(offer)
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
