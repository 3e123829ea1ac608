"""What the callbacks of a connection are told, and when."""

import socket
import struct

import pytest

import pyevent
from pyevent import (
    BEV_EVENT_EOF,
    BEV_EVENT_ERROR,
    BEV_EVENT_READING,
    BEV_EVENT_WRITING,
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    BEV_TRIG_DEFER_CALLBACKS,
    BEV_TRIG_IGNORE_WATERMARKS,
    EV_READ,
    EV_WRITE,
    EVLOOP_ONCE,
    BevEvent,
    BufferEvent,
    EventFlag,
)


def reset(sock):
    """Close a TCP socket so that its peer gets ECONNRESET."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_read_callback_gets_the_connection_and_arg(streams):
    bev, peer = streams.pair()
    seen = []
    arg = object()
    bev.setcb(lambda *args: seen.append((*args, args[0].read(100))), arg=arg)
    bev.enable(EV_READ)
    peer.send(b"hello")
    streams.until(lambda: seen)
    assert seen == [(bev, arg, b"hello")]


def test_write_callback_comes_when_the_output_has_gone(streams, waiting):
    bev, peer = streams.pair()
    seen = []
    arg = object()
    bev.setcb(None, lambda *args: seen.append((*args, len(bev.output), waiting(peer))), arg=arg)
    bev.write(b"hello")
    assert seen == []
    streams.until(lambda: seen)
    streams.run_ready()
    assert seen == [(bev, arg, 0, b"hello")]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_end_of_file_comes_after_the_data_and_leaves_writing_on(streams, kind):
    bev, peer = streams.pair(kind)
    seen = []
    bev.setcb(
        lambda bev, arg: seen.append(bev.read(100)),
        None,
        lambda bev, what, arg: seen.append((what, arg, bev.enabled)),
        "arg",
    )
    bev.enable(EV_READ)
    peer.send(b"last")
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: len(seen) == 2)
    assert seen == [b"last", (BEV_EVENT_READING | BEV_EVENT_EOF, "arg", EV_WRITE)]
    assert type(seen[1][0]) is BevEvent
    assert bev.error is None
    bev.write(b"answer")
    assert streams.receive(peer, 6) == b"answer"


def test_reset_is_an_error_while_reading(streams):
    bev, peer = streams.pair("tcp")
    seen = []
    bev.setcb(eventcb=lambda bev, what, arg: seen.append(what))
    bev.enable(EV_READ)
    reset(peer)
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_READING | BEV_EVENT_ERROR]
    assert isinstance(bev.error, ConnectionResetError)
    assert not bev.enabled & EV_READ


def test_closed_peer_is_an_error_while_writing(streams):
    bev, peer = streams.pair()
    seen = []
    bev.setcb(eventcb=lambda bev, what, arg: seen.append((what, len(bev.output))))
    peer.close()
    bev.write(b"into the void")
    streams.until(lambda: seen)
    assert seen == [(BEV_EVENT_WRITING | BEV_EVENT_ERROR, 13)]
    assert isinstance(bev.error, BrokenPipeError)
    assert bev.enabled == 0


def test_getcb_gives_what_setcb_took(streams):
    bev, _ = streams.pair()
    assert bev.getcb() == (None, None, None, None)
    callbacks = (print, len, repr, "arg")
    bev.setcb(*callbacks)
    assert bev.getcb() == callbacks
    bev.setcb()
    assert bev.getcb() == (None, None, None, None)


@pytest.mark.parametrize("which", ["readcb", "writecb", "eventcb"])
def test_setcb_refuses_what_cannot_be_called(streams, which):
    bev, _ = streams.pair()
    bev.setcb(print, len, repr, "arg")
    with pytest.raises(TypeError, match=f"{which} must be callable or None, not 5"):
        bev.setcb(**{which: 5})
    assert bev.getcb() == (print, len, repr, "arg")


def test_callbacks_can_be_replaced_in_a_callback(streams):
    bev, peer = streams.pair()
    seen = []

    def first(bev, arg):
        seen.append(("first", arg, bev.read(1)))
        bev.setcb(second, arg=2)

    def second(bev, arg):
        seen.append(("second", arg, bev.read(1)))

    bev.setcb(first, arg=1)
    bev.enable(EV_READ)
    peer.send(b"a")
    streams.until(lambda: len(seen) == 1)
    peer.send(b"b")
    streams.until(lambda: len(seen) == 2)
    assert seen == [("first", 1, b"a"), ("second", 2, b"b")]


def test_new_connection_writes_and_does_not_read(streams):
    bev, peer = streams.pair()
    assert bev.enabled == bev.get_enabled() == EV_WRITE
    assert type(bev.enabled) is EventFlag
    peer.send(b"x")
    streams.run_ready()
    assert len(bev.input) == 0
    bev.enable(EV_READ)
    assert bev.enabled == EV_READ | EV_WRITE
    streams.run_ready()
    assert bev.read(10) == b"x"


def test_disabling_reading_in_the_read_callback_holds(streams):
    bev, peer = streams.pair()
    bev.setcb(lambda bev, arg: bev.disable(EV_READ))
    bev.set_max_single_read(1)
    bev.enable(EV_READ)
    peer.send(b"abc")
    streams.run_ready()
    assert bev.read(10) == b"a"


def test_nothing_is_written_while_writing_is_disabled(streams, waiting):
    bev, peer = streams.pair()
    bev.disable(EV_WRITE)
    bev.write(b"later")
    streams.run_ready()
    assert waiting(peer) == b""
    bev.enable(EV_WRITE)
    streams.run_ready()
    assert waiting(peer) == b"later"


def test_enabling_writing_calls_the_write_callback_once_from_the_loop(streams):
    bev, _ = streams.pair()
    seen = []
    bev.setcb(writecb=lambda bev, arg: seen.append("written"))
    streams.run_ready()
    bev.enable(EV_WRITE)
    assert seen == []
    streams.run_ready()
    assert seen == ["written"]


def test_trigger_runs_the_callbacks_now_if_the_marks_allow(streams):
    bev, _ = streams.pair()
    seen = []
    bev.setcb(lambda *args: seen.append("read"), lambda *args: seen.append("write"))
    bev.trigger(EV_READ | EV_WRITE)
    assert seen == ["read", "write"]
    bev.setwatermark(EV_READ, 1)
    bev.trigger(EV_READ)
    assert seen == ["read", "write"]
    bev.trigger(EV_READ, BEV_TRIG_IGNORE_WATERMARKS)
    assert seen == ["read", "write", "read"]


def test_trigger_event_runs_the_event_callback(streams):
    bev, _ = streams.pair()
    seen = []
    bev.setcb(eventcb=lambda bev, what, arg: seen.append(what))
    bev.trigger_event(BEV_EVENT_EOF)
    assert seen == [BEV_EVENT_EOF]
    bev.trigger_event(BEV_EVENT_EOF, BEV_TRIG_DEFER_CALLBACKS)
    assert len(seen) == 1
    streams.run_ready()
    assert seen == [BEV_EVENT_EOF] * 2


def test_deferred_callbacks_run_from_the_loop_events_last(streams):
    bev, _ = streams.pair(options=BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)
    seen = []
    bev.setcb(
        lambda *args: seen.append("read"),
        lambda *args: seen.append("write"),
        lambda bev, what, arg: seen.append(what),
    )
    bev.trigger_event(BEV_EVENT_EOF)
    bev.trigger(EV_WRITE)
    bev.trigger(EV_READ)
    bev.trigger(EV_READ)
    assert seen == []
    streams.run_ready()
    assert seen == ["read", "write", BEV_EVENT_EOF]


def test_deferred_connection_answers(streams):
    bev, peer = streams.pair(options=BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)
    bev.setcb(lambda bev, arg: bev.write(bev.read(100).upper()))
    bev.enable(EV_READ)
    peer.send(b"quiet")
    assert streams.receive(peer, 5) == b"QUIET"


def test_more_urgent_connection_goes_first(streams):
    streams.base.priority_init(3)
    seen = []
    for priority in (2, 0, 1):
        bev, peer = streams.pair()
        assert bev.priority == 1
        bev.priority = priority
        assert bev.get_priority() == priority
        bev.setcb(lambda bev, arg: seen.append(arg), arg=priority)
        bev.enable(EV_READ)
        peer.send(b"x")
    while len(seen) < 3:
        streams.base.loop(EVLOOP_ONCE)
    assert seen == [0, 1, 2]


def test_priority_that_the_base_does_not_have_is_refused(streams):
    bev, _ = streams.pair()
    with pytest.raises(ValueError, match="no priority 1"):
        bev.priority_set(1)
    with pytest.raises(ValueError, match="no priority -1"):
        bev.priority = -1


def test_read_takes_up_to_so_many_bytes(streams):
    bev, peer = streams.pair()
    bev.enable(EV_READ)
    peer.send(b"abcdef")
    streams.until(lambda: len(bev.input) == 6)
    assert bev.read(0) == b""
    assert bev.read(2) == b"ab"
    assert bev.read(100) == b"cdef"
    assert bev.read(1) == b""
    with pytest.raises(ValueError, match="size must not be negative: -1"):
        bev.read(-1)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_write_takes_any_bytes_like_object(streams, kind):
    bev, peer = streams.pair()
    bev.write(kind(b"data"))
    bev.write(kind(b""))
    assert streams.receive(peer, 4) == b"data"


@pytest.mark.parametrize("data", ["text", 5, None, memoryview(b"abcd")[::2]])
def test_write_refuses_what_is_no_run_of_bytes(streams, data):
    bev, _ = streams.pair()
    with pytest.raises((TypeError, BufferError)):
        bev.write(data)
    assert len(bev.output) == 0


def test_buffers_are_moved_in_and_out(streams):
    bev, peer = streams.pair()
    text = pyevent.Buffer()
    text.add(b"over there")
    bev.write_buffer(text)
    assert len(text) == 0
    assert streams.receive(peer, 10) == b"over there"
    bev.enable(EV_READ)
    peer.send(b"and back")
    streams.until(lambda: len(bev.input) == 8)
    bev.read_buffer(text)
    assert (len(bev.input), len(text)) == (0, 8)
    with pytest.raises(TypeError):
        bev.write_buffer(None)
    with pytest.raises(TypeError):
        bev.read_buffer(b"no")


def test_the_librarys_ends_of_the_buffers_are_frozen(streams):
    bev, _ = streams.pair()
    with pytest.raises(PermissionError):
        bev.input.add(b"x")
    bev.write(b"abc")
    with pytest.raises(PermissionError):
        bev.output.drain(1)
    assert len(bev.output) == 3


def test_flush_has_nothing_to_do(streams):
    bev, _ = streams.pair()
    for mode in pyevent.FlushMode:
        assert bev.flush(EV_READ | EV_WRITE, mode) == 0


def test_flat_names_make_the_same_server(base, streams):
    seen = []

    def accepted(listener, fd, address, arg):
        bev = pyevent.bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE)
        pyevent.bufferevent_setcb(bev, readable, None, happened, arg)
        pyevent.bufferevent_enable(bev, EV_READ)

    def readable(bev, arg):
        data = pyevent.bufferevent_read(bev, 100)
        pyevent.bufferevent_write(bev, data + arg)

    def happened(bev, what, arg):
        seen.append(what)
        pyevent.bufferevent_free(bev)

    listener = pyevent.evconnlistener_new_bind(
        base, accepted, b"!", pyevent.LEV_OPT_CLOSE_ON_FREE, -1, ("127.0.0.1", 0)
    )
    peer = streams.keep(socket.create_connection(listener.address))
    peer.setblocking(False)
    peer.send(b"hello")
    assert streams.receive(peer, 6) == b"hello!"
    peer.shutdown(socket.SHUT_WR)
    assert streams.receive(peer, 1) == b""
    assert seen == [BEV_EVENT_READING | BEV_EVENT_EOF]
    assert pyevent.bufferevent_setcb is BufferEvent.setcb
