"""What a connection may hold: input, output and lookups, by default and as it is told."""

import errno
import socket

import pytest

import pyevent
from pyevent import (
    BEV_EVENT_ERROR,
    BEV_EVENT_READING,
    BEV_OK,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    Filter,
    Listener,
)

MIB = 1 << 20
FULL = BEV_EVENT_READING | BEV_EVENT_ERROR


class Lines(BufferEvent):
    """Takes lines, and notes what happens to it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.lines = []
        self.events = []

    def on_read(self):
        self.lines.extend(self.input.readlines())

    def on_event(self, what):
        self.events.append((what, self.error))


def flood(streams, peer, data, until):
    """Send `data` as far as it is taken, until the condition."""
    sent = 0

    def goes_on():
        nonlocal sent
        try:
            while sent < len(data):
                sent += peer.send(data[sent : sent + 65536])
        except (BlockingIOError, BrokenPipeError):
            pass
        return until()

    streams.until(goes_on)
    return sent


def test_line_without_end_is_an_error_at_one_mebibyte(streams, base):
    near, peer = streams.sockets()
    bev = streams.keep(Lines(base, near))
    bev.enable(EV_READ)
    peer.send(b"first\n")
    flood(streams, peer, b"x" * (4 * MIB), lambda: bev.events)
    ((what, error),) = bev.events
    assert what == FULL
    assert isinstance(error, BufferError)
    assert f"the input is full: {MIB} bytes" in str(error)
    assert bev.lines == [b"first"]
    assert len(bev.input) == MIB  # nothing is lost
    assert not bev.enabled & EV_READ


def test_connection_that_nobody_looks_after_is_closed_when_its_input_is_full(streams, base):
    near, peer = streams.sockets()
    bev = BufferEvent(base, near)
    bev.setcb(lambda bev, arg: None)
    bev.enable(EV_READ)
    flood(streams, peer, b"x" * (4 * MIB), lambda: bev.closed)
    assert bev.closed


def test_who_takes_some_each_time_gets_all(streams, base):
    near, peer = streams.sockets()
    bev = streams.keep(BufferEvent(base, near))
    got = []
    bev.setcb(lambda bev, arg: got.append(len(bev.read(5000))), None, print)
    bev.enable(EV_READ)
    flood(streams, peer, b"x" * (3 * MIB), lambda: sum(got) + len(bev.input) == 3 * MIB)


def test_peer_that_takes_no_answers_is_not_read_from(streams, base):
    near, peer = streams.sockets()

    class Echo(Lines):
        def on_read(self):
            while (line := self.input.readln()) is not None:
                self.write(line + b"\n")

    bev = streams.keep(Echo(base, near))
    bev.enable(EV_READ)
    data = (b"x" * 999 + b"\n") * 8000
    sent = flood(streams, peer, data, lambda: len(bev.output) > MIB)
    streams.run_ready()
    assert len(bev.output) < MIB + 600_000  # what came in one read is answered
    assert bev.enabled & EV_READ  # it only pauses
    got = streams.receive(peer, len(bev.output) - 100_000)
    assert len(bev.output) < MIB
    answered = sent - sent % 1000  # whole lines
    got += streams.receive(peer, answered - len(got))
    assert got == data[:answered]
    assert bev.events == []


def test_who_connects_reads_on_while_the_other_end_waits(streams, base):
    """Of two ends that have more to write than they may hold, one must read."""
    served = []

    def accept(listener, fd, address, arg):
        served.append(BufferEvent(base, fd))
        served[0].setcb(lambda bev, arg: bev.output.add_buffer(bev.input))
        served[0].enable(EV_READ)

    with Listener(base, ("127.0.0.1", 0), accept) as listener, BufferEvent(base) as client:
        client.setcb(lambda bev, arg: got.append(len(bev.read(MIB))), None, lambda *args: None)
        client.connect(listener.address)
        assert client.get_output_pause() == (None, None)
        client.enable(EV_READ)
        got = []
        client.write(b"x" * (20 * MIB))
        streams.until(lambda: sum(got) == 20 * MIB)
        assert served[0].get_output_pause() == (MIB, MIB >> 2)


def test_limit_that_was_asked_for_holds_for_who_connects_too(base):
    class Small(BufferEvent):
        max_output = 20

    with Listener(base, ("127.0.0.1", 0), print) as listener:
        for bev, pause in [(BufferEvent(base, max_output=9), (9, 2)), (Small(base), (20, 5))]:
            bev.connect(listener.address)
            assert bev.get_output_pause() == pause
            bev.close()


def test_limits_are_those_of_the_class_unless_they_are_given(base):
    class Small(BufferEvent):
        max_input = 10
        max_output = 20
        resume_output = 5

    class Any(BufferEvent):
        max_input = max_output = resume_output = max_lookups = None

    for bev, limits in [
        (BufferEvent(base), (MIB, (MIB, MIB >> 2))),
        (BufferEvent(base, max_input=5), (5, (MIB, MIB >> 2))),
        (BufferEvent(base, max_input=None, max_output=None), (None, (None, None))),
        (BufferEvent(base, max_output=8), (MIB, (8, 2))),
        (BufferEvent(base, max_output=8, resume_output=8), (MIB, (8, 8))),
        (BufferEvent(base, max_output=8, resume_output=0), (MIB, (8, 0))),
        (BufferEvent(base, max_output=None, resume_output=None), (MIB, (None, None))),
        (Small(base), (10, (20, 5))),
        (Small(base, max_output=None), (10, (None, None))),
        (Any(base), (None, (None, None))),
        (Any(base, max_output=100), (None, (100, 0))),
        (BufferEvent.pair(base)[0], (MIB, (None, None))),
        (BufferEvent.pair(base, max_input=7, max_output=None)[1], (7, (None, None))),
        (Small.pair(base)[1], (10, (20, 5))),
        (Filter(BufferEvent(base)), (MIB, (None, None))),
        (Filter(BufferEvent(base), max_output=8), (MIB, (8, 2))),
        (BufferEvent(base).filter(max_input=3), (3, (None, None))),
        (pyevent.bufferevent_socket_new(base), (None, (None, None))),
        (pyevent.bufferevent_pair_new(base)[0], (None, (None, None))),
        (pyevent.bufferevent_filter_new(BufferEvent(base)), (None, (None, None))),
        (Small.socket_new(base), (None, (None, None))),
    ]:
        assert (bev.get_input_max(), bev.get_output_pause()) == limits


def test_limits_can_be_changed(base):
    bev = BufferEvent(base)
    bev.set_input_max(100)
    assert bev.get_input_max() == 100
    bev.set_input_max(None)
    assert bev.get_input_max() is None
    bev.set_output_pause(100)
    assert bev.get_output_pause() == (100, 25)
    bev.set_output_pause(100, 50)
    assert bev.get_output_pause() == (100, 50)
    bev.set_output_pause(None)
    assert bev.get_output_pause() == (None, None)
    pyevent.bufferevent_set_input_max(bev, 5)
    assert pyevent.bufferevent_get_input_max(bev) == 5
    pyevent.bufferevent_set_output_pause(bev, 6, 5)
    assert pyevent.bufferevent_get_output_pause(bev) == (6, 5)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_input": 0},
        {"max_input": -1},
        {"max_input": "5"},
        {"max_input": 1.5},
        {"max_input": 1 << 70},
        {"max_output": 0},
        {"max_output": 5, "resume_output": 6},
        {"resume_output": -1},
        {"max_lookups": 0},
        {"max_lookups": 1 << 16},
    ],
)
def test_limits_that_are_none_are_refused(base, limits):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        BufferEvent(base, **limits)
    if "max_lookups" not in limits:
        with pytest.raises((ValueError, TypeError, OverflowError)):
            BufferEvent.pair(base, **limits)
        with pytest.raises((ValueError, TypeError, OverflowError)):
            Filter(BufferEvent(base), **limits)
    if "max_input" in limits:
        with pytest.raises((ValueError, TypeError, OverflowError)):
            BufferEvent(base).set_input_max(limits["max_input"])


def test_filter_that_makes_much_of_little_is_full(streams, base):
    near, peer = streams.sockets()

    def blow_up(src, dst, limit, mode, arg):
        dst.add(b"y" * 1000 * len(src.remove()))
        return BEV_OK

    over = streams.keep(
        Filter(BufferEvent(base, near), blow_up, options=BEV_OPT_CLOSE_ON_FREE, max_input=100_000)
    )
    events = []
    over.setcb(lambda bev, arg: None, None, lambda bev, what, arg: events.append(what))
    over.enable(EV_READ)
    peer.send(b"x" * 5000)
    streams.until(lambda: events)
    assert events == [FULL]
    assert isinstance(over.error, BufferError)


def test_lookups_beyond_the_limit_begin_nothing(streams, base, run_python):
    code = """
    import errno, sys
    from pyevent import *

    with EventBase() as base:
        events = []
        kept = [BufferEvent(base, max_lookups=20) for _ in range(30)]
        refused = 0
        for i, bev in enumerate(kept):
            bev.setcb(eventcb=lambda bev, what, arg: events.append(what))
            try:
                bev.connect_hostname(f"name-{i}.invalid", 80)
            except OSError as error:
                assert error.errno == errno.ENOBUFS, error
                assert "20 names are being looked up already" in str(error)
                refused += 1
        assert refused >= 1, refused
        kept[-1].connect_hostname("127.0.0.1", 1)   # needs no lookup
        kept[-2].connect_hostname("::1", 1)
        more = BufferEvent(base, max_lookups=None)
        more.connect_hostname("another.invalid", 80)
        flat = bufferevent_socket_new(base)
        flat.connect_hostname("another.invalid", 80)
    print(refused)
    """
    assert 1 <= int(run_python(code)) <= 10


def test_error_of_a_connection_without_limits_is_no_buffer_error(streams, base):
    near, _ = streams.sockets()
    bev = pyevent.bufferevent_socket_new(base, near, BEV_OPT_CLOSE_ON_FREE)
    bev.set_input_max(1)
    bev.set_input_max(None)
    assert bev.error is None
    assert errno.ENOBUFS
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        other = BufferEvent(base)
        seen = []
        other.setcb(eventcb=lambda bev, what, arg: seen.append(bev.error))
        other.connect(free.getsockname())
        streams.until(lambda: seen)
    assert isinstance(seen[0], ConnectionRefusedError)
