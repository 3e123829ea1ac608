"""The buffers of a connection: who keeps whom alive, and who is closed by what."""

import gc
import socket
import weakref

import pytest

from pyevent import Buffer, BufferEvent, EventBase


@pytest.fixture
def base():
    with EventBase() as one:
        yield one


@pytest.fixture
def bev(base, socketpair):
    with BufferEvent(base, socketpair[0]) as connection:
        yield connection


def test_the_same_buffer_is_given_out_while_somebody_has_it(bev):
    buf = bev.input
    assert bev.input is buf
    assert bev.get_input() is buf
    assert bev.output is not buf
    gone = weakref.ref(buf)
    del buf
    assert gone() is None
    assert len(bev.input) == 0


def test_a_buffer_keeps_its_connection(base, socketpair):
    bev = BufferEvent(base, socketpair[0])
    gone = weakref.ref(bev)
    buf = bev.output
    del bev
    assert gone() is not None
    buf.add(b"x")
    del buf
    gc.collect()
    assert gone() is None


def test_a_buffer_is_closed_with_its_connection(bev):
    buf, out = bev.input, bev.output
    out.add(b"x")
    bev.close()
    assert buf.closed
    assert out.closed
    with pytest.raises(ValueError, match="closed Buffer of <BufferEvent closed>"):
        out.add(b"x")
    buf.close()
    with pytest.raises(RuntimeError):
        buf.__init__()


def test_a_buffer_is_closed_with_the_base(socketpair):
    with EventBase() as base:
        buf = BufferEvent(base, socketpair[0]).input
        assert not buf.closed
    assert buf.closed


def test_a_connection_s_buffer_is_not_closed_by_itself(bev):
    for call in (bev.input.close, bev.input.__enter__):
        with pytest.raises(ValueError, match="closed with <BufferEvent"):
            call()
    with pytest.raises(RuntimeError):
        bev.input.__init__()
    assert not bev.input.closed
    assert "of BufferEvent" in repr(bev.input)


def test_a_weakref_callback_of_a_buffer_may_ask_for_it_again(bev):
    found = []
    buf = bev.input
    ref = weakref.ref(buf, lambda _: found.append(bev.input))
    del buf
    assert ref() is None
    assert found[0] is bev.input
    assert bytes(found[0]) == b""


def test_a_weakref_callback_of_a_buffer_may_close_the_connection(bev):
    buf = bev.input
    ref = weakref.ref(buf, lambda _: bev.close())
    del buf
    assert ref() is None
    assert bev.closed


@pytest.mark.parametrize("n", range(3))
def test_a_cycle_of_connection_and_buffer_is_collected(base, socketpair, n):
    class Connection(BufferEvent):
        pass

    bev = Connection(base, socketpair[0])
    bev.mine = [bev.input, bev.output, bev][n:]
    gone = weakref.ref(bev), weakref.ref(bev.mine[0])
    del bev
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_the_ends_that_belong_to_the_loop_are_frozen(bev):
    with pytest.raises(PermissionError, match="frozen"):
        bev.input.add(b"x")
    bev.output.add(b"abc\n")
    for call in (bev.output.drain, bev.output.readln, bev.output.remove):
        with pytest.raises(PermissionError, match="frozen"):
            call()
    assert bytes(bev.output) == b"abc\n"


def test_bytes_move_into_a_connection_without_copying(base, socketpair):
    near, far = socketpair
    data = b"0123456789abcdef" * 1000
    with BufferEvent(base, near) as bev:
        bev.setcb(None, lambda bev, arg: base.loopbreak(), None, None)
        buf = Buffer()
        buf.add_reference(data)
        bev.output.add_buffer(buf)
        assert len(buf) == 0
        base.dispatch()
        assert far.recv(1 << 20) == data


def test_a_buffer_that_was_dropped_keeps_nothing_and_comes_back_clean(base):
    """More connections than spare Buffers are kept for, dropped in one order and another."""
    pairs = [socket.socketpair() for _ in range(40)]
    bevs = [BufferEvent(base, near) for near, _ in pairs]
    for turn in range(3):
        views = [(bev.input, bev.output) for bev in bevs]
        for i, view in enumerate(views):
            view[1].add(b"%d" % i)
        del view
        if turn == 1:
            views.reverse()
        views.clear()
        for i, bev in enumerate(bevs):
            assert bytes(bev.output) == b"%d" % i * (turn + 1)
            assert len(bev.input) == 0
    gone = [weakref.ref(bev) for bev in bevs]
    output = bevs[0].output
    del bev
    bevs.clear()
    assert [ref() is not None for ref in gone] == [True] + [False] * 39
    output.add(b"still there")
    del output
    assert gone[0]() is None
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_a_dropped_buffer_clears_its_weak_references_and_callbacks(base, socketpair):
    bev = BufferEvent(base, socketpair[0])
    seen = []
    gone = weakref.ref(bev.output, seen.append)
    assert seen == [gone]
    assert gone() is None
    entry = bev.output.add_cb(lambda *args: seen.append(args))
    entry.remove()
    bev.output.add(b"x")
    assert len(seen) == 1


def test_what_is_dropped_with_a_buffer_may_ask_for_another(base):
    """The last reference to a connection goes with its Buffer: code runs, and wants Buffers."""
    pairs = [socket.socketpair() for _ in range(2)]
    other = BufferEvent(base, pairs[1][0])

    class Curious(BufferEvent):
        def __del__(self):
            asked.append((other.input, other.output))

    asked = []
    bev = Curious(base, pairs[0][0])
    output = bev.output
    del bev
    assert not asked
    del output
    (views,) = asked
    views[1].add(b"fine")
    assert bytes(other.output) == b"fine"
    assert views[0] is other.input
    for pair in pairs:
        for sock in pair:
            sock.close()
