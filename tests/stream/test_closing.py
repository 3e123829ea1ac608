"""Closing: in every callback, from another thread, and by the library itself."""

import os
import socket
import struct
import threading
import weakref

import pytest

from pyevent import (
    BEV_EVENT_CONNECTED,
    BEV_EVENT_EOF,
    BEV_EVENT_TIMEOUT,
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    EV_PERSIST,
    EV_READ,
    EV_WRITE,
    BufferEvent,
    Event,
)


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_close_closes_the_descriptor_at_once(streams):
    bev, peer = streams.pair()
    fd = bev.fd
    bev.close()
    assert not is_open(fd)
    assert peer.recv(1) == b""
    assert bev.closed
    bev.close()
    bev.free()
    assert repr(bev) == "<BufferEvent closed>"


def test_close_leaves_a_descriptor_open_that_is_not_its_own(streams):
    near, _ = streams.sockets()
    streams.keep(near)
    bev = BufferEvent(streams.base, near.fileno(), options=0)
    bev.close()
    assert is_open(near.fileno())


def test_connection_is_a_context_manager(streams):
    bev, peer = streams.pair()
    with bev as same:
        assert same is bev
    assert bev.closed
    with pytest.raises(RuntimeError, match="closed"), bev:
        pass


def test_closing_the_base_closes_its_connections(streams, base):
    bev, peer = streams.pair()
    fd = bev.fd
    bev.setcb(print)
    bev.enable(EV_READ)
    base.close()
    assert bev.closed
    assert not is_open(fd)
    with pytest.raises(RuntimeError, match="its base is closed"):
        bev.enable(EV_READ)


@pytest.mark.parametrize("options", [0, BEV_OPT_DEFER_CALLBACKS], ids=["now", "deferred"])
@pytest.mark.parametrize("which", ["read", "write", "event", "connected"])
def test_close_in_its_own_callback(streams, base, which, options):
    bev, peer = streams.pair(options=BEV_OPT_CLOSE_ON_FREE | options)
    fd = bev.fd
    seen = []

    def close(bev, *args):
        bev.close()
        assert not is_open(fd)
        seen.append(which)

    def never(bev, *args):
        raise AssertionError("called after close")

    callbacks = {"read": never, "write": never, "event": never}
    callbacks["event" if which == "connected" else which] = close
    bev.setcb(callbacks["read"], callbacks["write"], callbacks["event"])
    if which == "read":
        peer.send(b"data")
        peer.close()
        bev.enable(EV_READ)
    elif which == "write":
        bev.write(b"data")
    elif which == "event":
        peer.close()
        bev.enable(EV_READ)
    else:
        bev.connect(None)  # it is connected, as the loop finds out
    streams.until(lambda: seen)
    assert base.dispatch() == 1
    assert seen == [which]
    gone = weakref.ref(close)
    del close, callbacks
    assert gone() is None


def test_close_of_a_connection_that_is_ready_too(streams):
    """Both are readable in one wait; the first closes the other, which is not called."""
    pairs = [streams.pair(), streams.pair()]
    seen = []

    def close_other(bev, other):
        seen.append(bev)
        pairs[other][0].close()

    for i, (bev, peer) in enumerate(pairs):
        bev.setcb(close_other, arg=1 - i)
        bev.enable(EV_READ)
        peer.send(b"x")
    streams.run_ready()
    assert len(seen) == 1
    assert [bev.closed for bev, _ in pairs].count(True) == 1


def test_number_of_a_closed_descriptor_can_be_used_at_once(streams):
    """The new connection on the same number hears its own peer only."""
    old, old_peer = streams.pair()
    seen = []

    def replace(bev, arg):
        fd = bev.fd
        bev.close()
        near, far = streams.sockets()
        if near.fileno() != fd:
            os.dup2(near.fileno(), fd)
            near.close()
        else:
            near.detach()
        new = BufferEvent(streams.base, fd, BEV_OPT_CLOSE_ON_FREE)
        new.setcb(lambda bev, arg: seen.append(bev.read(100)))
        new.enable(EV_READ)
        far.send(b"new")

    old.setcb(replace)
    old.enable(EV_READ)
    old_peer.send(b"old")
    streams.until(lambda: seen)
    streams.run_ready()
    assert seen == [b"new"]


def test_close_from_another_thread_while_the_loop_waits(streams, base):
    bev, peer = streams.pair()
    other, other_peer = streams.pair()
    peer.settimeout(10)
    seen = []
    bev.setcb(lambda *args: seen.append("read"))
    other.setcb(lambda *args: base.loopexit())

    def close():
        other_peer.settimeout(10)
        assert other_peer.recv(1) == b"!"  # the loop runs
        bev.close()
        seen.append(peer.recv(1))
        other_peer.send(b"x")

    for one in (bev, other):
        one.enable(EV_READ)
    other.write(b"!")
    thread = threading.Thread(target=close)
    thread.start()
    base.dispatch()
    thread.join()
    assert seen == [b""]


def test_close_from_another_thread_while_its_callback_runs(streams):
    """close() does not wait for the callback, which ends undisturbed."""
    bev, peer = streams.pair()
    inside, closed = threading.Event(), threading.Event()
    seen = []

    def readable(bev, arg):
        inside.set()
        assert closed.wait(10)
        seen.append((bev.closed, arg))

    def close():
        assert inside.wait(10)
        bev.close()
        closed.set()

    bev.setcb(readable, arg="arg")
    bev.enable(EV_READ)
    peer.send(b"x")
    thread = threading.Thread(target=close)
    thread.start()
    streams.until(lambda: seen)
    thread.join()
    assert seen == [(True, "arg")]


# --- without an event callback the library closes -------------------------------------


def test_end_of_file_closes_a_connection_without_event_callback(streams):
    bev, peer = streams.pair()
    fd = bev.fd
    bev.setcb(lambda bev, arg: bev.read(100))
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: bev.closed)
    assert not is_open(fd)
    assert peer.recv(1) == b""


def test_end_of_file_closes_only_after_the_output_is_written(streams):
    bev, peer = streams.pair()
    size = 3_000_000
    bev.setcb(lambda bev, arg: bev.write(b"y" * size))
    bev.setwatermark(EV_WRITE, 1000)  # it is not closed when the low mark is reached
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    assert streams.receive(peer, size) == b"y" * size
    assert streams.receive(peer, 1) == b""
    assert bev.closed


def test_end_of_file_writes_output_that_was_held(streams):
    bev, peer = streams.pair()
    bev.setcb(lambda bev, arg: bev.write(b"held"))
    bev.disable(EV_WRITE)
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    assert streams.receive(peer, 10) == b"held"
    assert bev.closed


def test_peer_that_takes_nothing_after_its_end_of_file_is_closed_on_error(streams):
    bev, peer = streams.pair("tcp")
    bev.setcb(lambda bev, arg: bev.write(b"y" * 8_000_000))
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: len(bev.output) > 0)
    streams.run_ready()
    assert not bev.closed
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    streams.until(lambda: bev.closed)


def test_error_closes_a_connection_without_event_callback(streams):
    bev, peer = streams.pair("tcp")
    bev.setcb(print)
    bev.enable(EV_READ)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    streams.until(lambda: bev.closed)


@pytest.mark.parametrize("limits", [(0.02, None), (None, 0.02)], ids=["reading", "writing"])
def test_timeout_closes_a_connection_without_event_callback(streams, limits):
    bev, _ = streams.pair()
    bev.setcb(print)
    bev.set_timeouts(*limits)
    bev.enable(EV_READ)
    bev.disable(EV_WRITE)
    bev.write(b"x" * 4_000_000)
    bev.setcb(lambda *args: None)
    bev.enable(EV_WRITE)
    streams.until(lambda: bev.closed)


def test_other_events_close_nothing(streams):
    bev, _ = streams.pair()
    bev.setcb(print)
    bev.trigger_event(BEV_EVENT_CONNECTED)
    assert not bev.closed


def test_event_callback_set_in_time_keeps_the_connection(streams):
    """The one that lingers is an ordinary connection until it is closed."""
    bev, peer = streams.pair()
    seen = []
    bev.setcb(lambda bev, arg: bev.write(b"y" * 3_000_000))
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    streams.run_ready()
    bev.setcb(None, lambda bev, arg: seen.append("written"), lambda *args: None)
    streams.receive(peer, 3_000_000)
    streams.until(lambda: seen)
    assert not bev.closed
    bev.trigger_event(BEV_EVENT_EOF | BEV_EVENT_TIMEOUT)
    assert not bev.closed


def test_dispatch_returns_when_the_last_connection_has_closed(streams, base):
    bev, peer = streams.pair()
    bev.setcb(lambda bev, arg: bev.write(bev.read(100)))
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    keep = Event(base, -1, EV_PERSIST, print)
    assert base.dispatch() == 1
    assert bev.closed
    assert peer.recv(10) == b"x"
    keep.close()
