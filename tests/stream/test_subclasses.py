"""Subclasses: on_read, on_write, on_event and on_accept instead of callbacks."""

import socket

import pytest

import pyevent
from pyevent import (
    BEV_EVENT_EOF,
    BEV_EVENT_READING,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    Listener,
)


class Talker(BufferEvent):
    """Notes what it is told."""

    def __init__(self, *args):
        self.seen = []
        super().__init__(*args)

    def on_read(self):
        self.seen.append(self.read(100))

    def on_write(self):
        self.seen.append("written")

    def on_event(self, what):
        self.seen.append(what)


def test_methods_are_called_where_setcb_was_not(streams):
    bev, peer = streams.pair(cls=Talker)
    bev.write(b"hello")
    assert streams.receive(peer, 5) == b"hello"
    bev.enable(EV_READ)
    peer.send(b"back")
    streams.until(lambda: b"back" in bev.seen)
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: len(bev.seen) == 3)
    assert bev.seen == ["written", b"back", BEV_EVENT_READING | BEV_EVENT_EOF]
    assert not bev.closed  # it has a method that looks after the end
    assert bev.getcb() == (None, None, None, None)


def test_setcb_takes_the_place_of_all_methods(streams):
    bev, peer = streams.pair(cls=Talker)
    got = []
    bev.setcb(lambda bev, arg: got.append(bev.read(100)))
    bev.enable(EV_READ)
    bev.write(b"hello")
    peer.send(b"back")
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: bev.closed)  # nobody looks after the end now
    assert got == [b"back"]
    assert bev.seen == []


def test_setcb_with_nothing_calls_nothing(streams):
    bev, peer = streams.pair(cls=Talker)
    bev.setcb()
    bev.enable(EV_READ)
    peer.send(b"x")
    streams.until(lambda: len(bev.input))
    assert bev.seen == []


def test_connection_whose_class_has_no_on_event_closes_itself(streams):
    class Reader(BufferEvent):
        def on_read(self):
            self.write(self.read(100))

    bev, peer = streams.pair(cls=Reader)
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    assert streams.receive(peer, 10) == b"x"
    assert bev.closed


def test_base_class_methods_do_nothing(streams):
    bev, _ = streams.pair()
    assert bev.on_read() is bev.on_write() is bev.on_event(BEV_EVENT_EOF) is None


def test_flat_names_call_the_built_in_method(streams):
    class Loud(BufferEvent):
        def write(self, data):
            super().write(data.upper())

    bev, peer = streams.pair(cls=Loud)
    bev.write(b"one ")
    pyevent.bufferevent_write(bev, b"two")
    assert streams.receive(peer, 7) == b"ONE two"


def test_subclass_may_have_attributes_and_the_class_itself_not(streams):
    class Empty(BufferEvent):
        pass

    bev, _ = streams.pair(cls=Empty)
    bev.note = "mine"
    plain, _ = streams.pair()
    with pytest.raises(AttributeError):
        plain.note = "not here"


def test_constructor_that_was_not_called_leaves_a_closed_connection(base):
    class Forgetful(BufferEvent):
        def __init__(self):
            pass

    bev = Forgetful()
    assert bev.closed
    with pytest.raises(RuntimeError, match="never set up"):
        bev.enable(EV_READ)
    bev.close()


def test_exception_in_a_method_is_the_base_s_to_handle(streams, base):
    class Failing(BufferEvent):
        def on_read(self):
            raise ZeroDivisionError

    bev, peer = streams.pair(cls=Failing)
    bev.enable(EV_READ)
    peer.send(b"x")
    with pytest.raises(ZeroDivisionError):
        base.dispatch()


def test_server_of_two_classes(streams, base):
    class Echo(BufferEvent):
        def on_read(self):
            self.write_buffer(self.input)

    class Server(Listener):
        def on_accept(self, fd, address):
            self.served = address
            Echo(self.base, fd, BEV_OPT_CLOSE_ON_FREE).enable(EV_READ)

    server = Server(base, ("127.0.0.1", 0))
    peer = streams.keep(socket.create_connection(server.address))
    peer.setblocking(False)
    peer.send(b"ping")
    assert streams.receive(peer, 4) == b"ping"
    assert server.served == peer.getsockname()
    peer.shutdown(socket.SHUT_WR)
    assert streams.receive(peer, 1) == b""


def test_listener_callback_takes_the_place_of_on_accept(streams, base):
    class Server(Listener):
        def on_accept(self, fd, address):
            raise AssertionError("there is a callback")

    accepted = []

    def accept(listener, fd, address, arg):
        accepted.append(arg)
        socket.socket(fileno=fd).close()

    server = Server(base, ("127.0.0.1", 0), accept, "arg")
    streams.keep(socket.create_connection(server.address))
    streams.until(lambda: accepted)
    assert accepted == ["arg"]
