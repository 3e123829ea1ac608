"""Fixtures for all tests: real sockets, a deadline on everything, nothing left open."""

import faulthandler
import gc
import os
import signal
import socket
import sys

import pytest

DEADLINE = 60.0  # seconds; the marker `deadline(seconds)` sets another

stderr_key = pytest.StashKey[int]()


def pytest_configure(config):
    # A copy of the real stderr: by the time a test hangs, pytest has put a file in its place.
    config.stash[stderr_key] = os.dup(sys.__stderr__.fileno())
    # What runs in the background of a shell, or under nohup, begins with these ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_unconfigure(config):
    os.close(config.stash[stderr_key])


def pytest_generate_tests(metafunc):
    """`backend` in a test's arguments runs it once on every backend that opens here."""
    if "backend" not in metafunc.fixturenames:
        return
    for mark in metafunc.definition.iter_markers("parametrize"):
        if "backend" in mark.args[0]:
            return
    import pyevent  # here, so that tests of the tree itself run without the extension

    metafunc.parametrize("backend", pyevent.backends())


@pytest.fixture(autouse=True)
def deadline(request):
    """Ends the whole run with every thread's traceback when a test hangs."""
    mark = request.node.get_closest_marker("deadline")
    seconds = mark.args[0] if mark else DEADLINE
    faulthandler.dump_traceback_later(seconds, exit=True, file=request.config.stash[stderr_key])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def socketpair():
    """Two connected non-blocking stream sockets, closed afterwards."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    yield near, far
    near.close()
    far.close()


def open_fds():
    """What each descriptor of this process refers to, as {fd: text}."""
    found = {}
    for name in os.listdir("/dev/fd"):
        try:
            found[int(name)] = os.readlink(f"/dev/fd/{name}")
        except OSError:  # the one that listdir itself used; no links on macOS
            if os.path.exists(f"/dev/fd/{name}"):
                found[int(name)] = "open"
    return found


@pytest.fixture
def no_leaked_fds():
    """Fails a test that leaves more descriptors open than it found."""
    before = open_fds()

    def left():
        return {fd: what for fd, what in open_fds().items() if before.get(fd) != what}

    yield
    if left():
        gc.collect()  # only then: it takes longer than most tests
    assert not left(), f"descriptors left open: {left()}"
