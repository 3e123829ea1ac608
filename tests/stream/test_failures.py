"""Exceptions in the callbacks of connections and listeners."""

import logging
import os
import socket
import struct

import pytest

import pyevent
from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    EV_READ,
    EV_TIMEOUT,
    EventBase,
    Listener,
)


@pytest.fixture
def base(backend):
    """One that does with exceptions what it does by default."""
    with EventBase(backend=backend) as base:
        yield base


def fail(*args):
    raise ZeroDivisionError("on purpose")


def failing_pair(streams, which, options=0):
    """A connection whose callback `which` fails as soon as the loop runs."""
    bev, peer = streams.pair(options=BEV_OPT_CLOSE_ON_FREE | options)
    fine = [lambda *args: None] * 3
    fine[["read", "write", "event"].index(which)] = fail
    bev.setcb(*fine)
    bev.enable(EV_READ)
    if which == "read":
        peer.send(b"x")
    elif which == "write":
        bev.write(b"x")
    else:
        peer.shutdown(socket.SHUT_WR)
    return bev, peer


CALLBACKS = pytest.mark.parametrize("which", ["read", "write", "event"])
OPTIONS = pytest.mark.parametrize("options", [0, BEV_OPT_DEFER_CALLBACKS], ids=["now", "deferred"])


@CALLBACKS
@OPTIONS
def test_failed_callback_is_logged_and_its_connection_closed(streams, caplog, which, options):
    bev, peer = failing_pair(streams, which, options)
    other, other_peer = streams.pair()
    other.setcb(lambda bev, arg: bev.write(bev.read(100)))
    other.enable(EV_READ)
    with caplog.at_level(logging.ERROR, logger="pyevent"):
        streams.until(lambda: bev.closed)
    (record,) = caplog.records
    assert record.name == "pyevent"
    assert f"exception in {which} callback" in caplog.text
    assert "of <BufferEvent fd=" in caplog.text
    assert "ZeroDivisionError: on purpose" in caplog.text
    if which == "write":
        assert streams.receive(peer, 1) == b"x"
    assert streams.receive(peer, 1) == b""
    other_peer.send(b"the others go on")
    assert streams.receive(other_peer, 16) == b"the others go on"


def test_output_of_the_failed_callback_is_discarded(streams, caplog):
    def write_and_fail(bev, arg):
        bev.write(b"half an ans")
        fail()

    bev, peer = streams.pair()
    bev.setcb(write_and_fail)
    bev.enable(EV_READ)
    peer.send(b"x")
    assert streams.receive(peer, 1) == b""
    assert len(caplog.records) == 1


def test_failed_callback_that_has_closed_its_connection_itself(streams, caplog):
    def close_and_fail(bev, arg):
        bev.close()
        fail()

    bev, peer = streams.pair()
    bev.setcb(close_and_fail)
    bev.enable(EV_READ)
    peer.send(b"x")
    streams.until(lambda: caplog.records)
    assert "BufferEvent closed" in caplog.text


@CALLBACKS
def test_own_handler_decides_about_the_connection(streams, base, which):
    contexts = []
    base.exception_handler = lambda base, context: contexts.append(context)
    bev, peer = failing_pair(streams, which)
    streams.until(lambda: contexts)
    (context,) = contexts
    assert context["source"] is bev
    assert context["callback"] is fail
    assert isinstance(context["exception"], ZeroDivisionError)
    assert context["message"] == f"exception in {which} callback"
    assert not bev.closed
    bev.write(b"still there")
    expected = b"xstill there" if which == "write" else b"still there"
    assert streams.receive(peer, len(expected)) == expected


def test_own_handler_may_do_what_the_default_one_does(streams, base, caplog):
    base.exception_handler = EventBase.default_exception_handler
    bev, peer = failing_pair(streams, "read")
    streams.until(lambda: bev.closed)
    assert "on purpose" in caplog.text


@CALLBACKS
@OPTIONS
def test_raise_leaves_dispatch_at_once_and_the_connection_open(streams, base, which, options):
    base.exception_handler = pyevent.RAISE
    bev, peer = failing_pair(streams, which, options)
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        base.dispatch()
    assert not bev.closed
    bev.setcb(lambda bev, arg: bev.write(b"goes on"), None, lambda *args: None)
    bev.trigger(EV_READ)
    expected = b"xgoes on" if which == "write" else b"goes on"
    assert streams.receive(peer, len(expected)) == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_leaves_dispatch(streams, base, error, caplog):
    def interrupt(bev, arg):
        raise error

    bev, peer = streams.pair()
    bev.setcb(interrupt)
    bev.enable(EV_READ)
    peer.send(b"x")
    with pytest.raises(error):
        base.dispatch()
    assert not bev.closed
    assert caplog.records == []


def test_exception_under_trigger_goes_to_the_handler_too(streams, base, caplog):
    """The caller of trigger() is not the one that the callback failed."""
    bev, _ = streams.pair()
    bev.setcb(fail)
    bev.trigger(EV_READ)
    assert bev.closed
    assert "on purpose" in caplog.text


def test_raised_under_trigger_outside_the_loop_comes_with_the_next_loop(streams, base):
    base.exception_handler = pyevent.RAISE
    bev, _ = streams.pair()
    bev.setcb(fail)
    bev.trigger(EV_READ)
    base.once(-1, EV_TIMEOUT, lambda *args: None)
    with pytest.raises(ZeroDivisionError):
        base.dispatch()


# --- listeners ---------------------------------------------------------------------------


def connect_to(streams, listener):
    sock = streams.keep(socket.create_connection(listener.address))
    sock.setblocking(False)
    return sock


def test_failed_listener_callback_closes_what_was_accepted(streams, base, caplog):
    listener = Listener(base, ("127.0.0.1", 0), fail)
    for n in (1, 2):  # it goes on
        peer = connect_to(streams, listener)
        assert streams.receive(peer, 1) == b""
        assert len(caplog.records) == n
    assert "exception in listener callback" in caplog.text
    assert not listener.closed


def test_raised_by_a_listener_callback_closes_what_was_accepted(streams, base):
    base.exception_handler = pyevent.RAISE
    listener = Listener(base, ("127.0.0.1", 0), fail)
    peer = connect_to(streams, listener)
    with pytest.raises(ZeroDivisionError):
        base.dispatch()
    assert peer.recv(1) == b""


def test_failed_on_accept_closes_what_was_accepted(streams, base, caplog):
    class Failing(Listener):
        def on_accept(self, fd, address):
            fail()

    peer = connect_to(streams, Failing(base, ("127.0.0.1", 0)))
    assert streams.receive(peer, 1) == b""
    assert "exception in on_accept" in caplog.text


def test_failed_callback_that_has_given_the_descriptor_to_a_connection(streams, base, caplog):
    """It is closed, and once: a second close could hit a descriptor of somebody else."""
    served = []

    def serve_and_fail(listener, fd, address, options):
        bev = pyevent.BufferEvent(base, fd, options)
        if options is BEV_OPT_CLOSE_ON_FREE:
            bev.setcb(lambda bev, arg: bev.write(b"served"))
        served.append(bev)
        fail()

    for options in (BEV_OPT_CLOSE_ON_FREE, 0):
        with Listener(base, ("127.0.0.1", 0), serve_and_fail, options) as listener:
            peer = connect_to(streams, listener)
            assert streams.receive(peer, 1) == b""
        assert served.pop().closed
    assert len(caplog.records) == 2


@pytest.mark.parametrize("passed_on", ["closed", "reused", "socket"])
def test_failed_callback_that_has_disposed_of_the_descriptor(streams, base, caplog, passed_on):
    """What has its number now is not closed."""
    other, other_peer = streams.sockets()
    streams.keep(other)

    def dispose_and_fail(listener, fd, address, arg):
        if passed_on == "socket":
            sock = socket.socket(fileno=fd)
            sock.close()
        elif passed_on == "closed":
            os.close(fd)
        else:
            os.dup2(other.fileno(), fd)
            kept.append(fd)
        fail()

    kept = []
    listener = Listener(base, ("127.0.0.1", 0), dispose_and_fail)
    peer = connect_to(streams, listener)
    assert streams.receive(peer, 1) == b""
    streams.until(lambda: caplog.records)
    for fd in kept:
        os.write(fd, b"open")
        os.close(fd)
        assert other_peer.recv(10) == b"open"


def test_failed_callback_after_a_reset_closes_what_was_accepted(streams, base, caplog):
    def wait_and_fail(listener, fd, address, arg):
        with socket.socket(fileno=os.dup(fd)) as sock:
            sock.setblocking(True)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        fail()

    listener = Listener(base, ("127.0.0.1", 0), wait_and_fail)
    peer = connect_to(streams, listener)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    streams.until(lambda: caplog.records)
