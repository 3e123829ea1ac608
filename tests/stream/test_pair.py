"""Two connections in one process, each the other's peer."""

import gc
import weakref

import pytest

import pyevent
from pyevent import (
    BEV_EVENT_EOF,
    BEV_EVENT_READING,
    BEV_EVENT_TIMEOUT,
    BEV_EVENT_WRITING,
    BEV_FINISHED,
    BEV_FLUSH,
    BEV_NORMAL,
    EV_READ,
    EV_WRITE,
    BufferEvent,
)


@pytest.fixture
def ends(streams):
    first, second = BufferEvent.pair(streams.base)
    return streams.keep(first), streams.keep(second)


def test_what_one_writes_the_other_reads(streams, ends):
    a, b = ends
    seen = []
    a.setcb(lambda bev, arg: seen.append((bev, bev.read(100), arg)), arg="a")
    b.setcb(lambda bev, arg: seen.append((bev, bev.read(100), arg)), arg="b")
    a.enable(EV_READ)
    b.enable(EV_READ)
    a.write(b"to b")
    b.write(b"to a")
    assert seen == []  # callbacks come from the loop
    streams.run_ready()
    assert seen == [(b, b"to b", "b"), (a, b"to a", "a")]


def test_bytes_wait_for_an_end_that_reads(ends):
    a, b = ends
    a.write(b"hello")
    assert (len(a.output), len(b.input)) == (5, 0)
    b.enable(EV_READ)
    assert (len(a.output), len(b.input)) == (0, 5)


def test_high_mark_holds_the_rest_back(ends):
    a, b = ends
    b.setwatermark(EV_READ, 0, 3)
    b.enable(EV_READ)
    a.write(b"hello")
    assert (len(a.output), len(b.input)) == (2, 3)
    assert b.read(3) == b"hel"
    assert b.read(3) == b"lo"


def test_write_callback_comes_when_the_other_has_taken_it(streams, ends):
    a, b = ends
    seen = []
    a.setcb(None, lambda bev, arg: seen.append(len(b.input)))
    a.write(b"hello")
    streams.run_ready()
    assert seen == []
    b.enable(EV_READ)
    streams.run_ready()
    assert seen == [5]


def test_finishing_is_end_of_file_for_the_other(streams, ends):
    a, b = ends
    seen = []
    b.setcb(
        lambda bev, arg: seen.append(bev.read(100)), None, lambda bev, what, arg: seen.append(what)
    )
    a.write(b"last")
    assert a.flush(EV_WRITE, BEV_NORMAL) == 0
    assert len(b.input) == 0
    a.flush(EV_WRITE, BEV_FLUSH)
    assert len(b.input) == 4
    a.flush(EV_WRITE, BEV_FINISHED)
    streams.run_ready()
    assert seen == [b"last", BEV_EVENT_READING | BEV_EVENT_EOF]


def test_partner_is_known_until_it_is_closed(ends):
    a, b = ends
    assert a.get_partner() is b
    assert b.pair_get_partner() is a
    a.close()
    assert b.get_partner() is None
    with pytest.raises(RuntimeError, match="closed"):
        a.get_partner()


def test_connection_with_a_socket_has_no_partner(streams):
    bev, _ = streams.pair()
    assert bev.get_partner() is None
    assert bev.get_underlying() is None


def test_pair_has_no_descriptor_and_takes_none(streams, ends):
    a, _ = ends
    near, _ = streams.sockets()
    assert a.fd == -1
    assert a.peername is None
    assert a.sockname is None
    for change in (a.setfd, a.replacefd):
        with pytest.raises(OSError, match="not implemented"):
            change(near)
    near.close()
    with pytest.raises(OSError, match="Invalid"):
        a.connect(("127.0.0.1", 1))


def test_timeouts_work_without_a_descriptor(streams, ends):
    a, b = ends
    seen = []
    for end in ends:
        end.setcb(eventcb=lambda bev, what, arg: seen.append((bev, what)))
    b.set_timeouts(read=0.01)
    b.enable(EV_READ)
    streams.until(lambda: seen)
    a.set_timeouts(write=0.01)
    a.write(b"to one that does not read any more")
    streams.until(lambda: len(seen) == 2)
    assert seen == [
        (b, BEV_EVENT_READING | BEV_EVENT_TIMEOUT),
        (a, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT),
    ]


def test_closing_after_flush_reaches_the_other_end(streams, ends):
    a, b = ends
    seen = []
    b.setcb(eventcb=lambda bev, what, arg: seen.append((what, bev.read(10))))
    a.write(b"bye")
    a.close_after_flush()
    b.enable(EV_READ)
    streams.until(lambda: a.closed and seen)
    assert seen == [(BEV_EVENT_READING | BEV_EVENT_EOF, b"bye")]


def test_subclasses_come_in_pairs(streams):
    class Echo(BufferEvent):
        def on_read(self):
            self.write(self.read(100))

    class Other(BufferEvent):
        __init__ = None

    echo, other = Echo.pair(streams.base)
    streams.keep(echo)
    streams.keep(other)
    assert type(echo) is type(other) is Echo
    other.setcb()
    echo.enable(EV_READ)
    other.enable(EV_READ)
    other.write(b"hello")
    streams.run_ready()
    assert other.read(10) == b"hello"
    for end in Other.pair(streams.base):
        assert type(end) is Other
        end.close()


def test_pair_needs_an_open_base(base):
    with pytest.raises(TypeError):
        BufferEvent.pair(None)
    base.close()
    with pytest.raises(RuntimeError, match="closed"):
        BufferEvent.pair(base)


def test_dropped_ends_are_freed_without_the_collector(base):
    ends = BufferEvent.pair(base)
    weak = [weakref.ref(end) for end in ends]
    ends[0].write(b"never read")
    gc.disable()
    try:
        del ends
        assert [ref() for ref in weak] == [None, None]
    finally:
        gc.enable()


def test_end_lives_on_when_the_other_is_dropped(streams):
    a, b = BufferEvent.pair(streams.base)
    streams.keep(a)
    b.enable(EV_READ)
    del b
    assert a.get_partner() is None
    a.write(b"to nobody")
    assert len(a.output) == 9


def test_end_with_callbacks_is_held_by_the_base(base):
    """It can be written to by its partner, whoever else has forgotten it."""
    seen = []
    a, b = BufferEvent.pair(base)
    weak = weakref.ref(b)
    b.setcb(lambda bev, arg: seen.append(bev.read(10)))
    b.enable(EV_READ)
    del b
    gc.collect()
    a.write(b"hello")
    base.loop(pyevent.EVLOOP_NONBLOCK)
    assert seen == [b"hello"]
    a.close()
    weak().close()
    gc.collect()
    assert weak() is None


def test_flat_names_are_the_methods(base):
    a, b = pyevent.bufferevent_pair_new(base, 0)
    assert pyevent.bufferevent_pair_get_partner(a) is b
    a.close()
    b.close()
