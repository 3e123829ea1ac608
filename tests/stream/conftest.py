"""Fixtures for connections: real sockets on every backend, everything given back."""

import gc
import socket
import subprocess
import sys
import textwrap

import pytest

import pyevent
from pyevent import BEV_OPT_CLOSE_ON_FREE, EV_PERSIST, EVLOOP_NONBLOCK, EVLOOP_ONCE

PATIENCE = 10.0  # seconds that anything may take
TICK = 0.005  # how often a condition outside the loop is looked at


@pytest.fixture(autouse=True)
def nothing_left(no_leaked_fds):
    """Fails a test after which the C core holds more than before, or a descriptor is open."""
    before = pyevent.live_allocations()
    yield
    if pyevent.live_allocations() != before:
        gc.collect()
    assert pyevent.live_allocations() == before


@pytest.fixture
def base(backend):
    """A base whose dispatch() raises what a callback raises."""
    with pyevent.EventBase(backend=backend, exception_handler=pyevent.RAISE) as base:
        yield base


@pytest.fixture
def streams(base):
    streams = Streams(base)
    yield streams
    streams.close()


class Streams:
    """Makes connections of a base, and runs its loop."""

    def __init__(self, base):
        self.base = base
        self.opened = []

    def close(self):
        for opened in self.opened:
            opened.close()

    def keep(self, opened):
        """Have it closed after the test."""
        self.opened.append(opened)
        return opened

    def sockets(self, kind="unix"):
        """Two connected sockets: the far one does not block, and is closed after the test."""
        if kind == "unix":
            near, far = socket.socketpair()
        elif kind == "records":  # each system call's bytes stay together
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                near = socket.create_connection(server.getsockname())
                far, _ = server.accept()
        far.setblocking(False)
        return near, self.keep(far)

    def pair(self, kind="unix", options=BEV_OPT_CLOSE_ON_FREE, cls=pyevent.BufferEvent):
        """A connection, and the socket at its other end."""
        near, far = self.sockets(kind)
        return cls(self.base, near, options), far

    def run_ready(self):
        """Run the loop until nothing is ready."""
        self.base.loop(EVLOOP_NONBLOCK)

    def before_waits(self, look):
        """A list to which `look(timeout)` is added before each wait of the loop."""
        seen = []
        pyevent.PrepareWatcher(self.base, lambda _, timeout, arg: seen.append(look(timeout)))
        return seen

    def until(self, condition, seconds=PATIENCE):
        """Run the loop until the condition, which may be one outside of it, is true."""
        late = []
        with (
            pyevent.Event(self.base, -1, EV_PERSIST, lambda *args: None) as ticks,
            pyevent.Event.timer(self.base, lambda *args: late.append(True)) as limit,
        ):
            ticks.add(TICK)
            limit.add(seconds)
            while not condition():
                assert not late, f"not within {seconds} seconds"
                self.base.loop(EVLOOP_ONCE)

    def receive(self, peer, n):
        """What comes to a peer while the loop runs: `n` bytes, less at end of file."""
        got = bytearray()

        def is_enough():
            while len(got) < n:
                try:
                    data = peer.recv(n - len(got))
                except BlockingIOError:
                    return False
                if not data:
                    return True
                got.extend(data)
            return True

        self.until(is_enough)
        return bytes(got)


@pytest.fixture
def waiting():
    """What has come to a peer and waits there to be read."""

    def look(peer):
        try:
            return peer.recv(1 << 20, socket.MSG_PEEK)
        except BlockingIOError:
            return b""

    return look


@pytest.fixture
def run_python():
    """Runs code in a Python of its own, which must end well and say nothing on stderr."""

    def run(code, *args, options=("-X", "dev", "-W", "error")):
        command = [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
