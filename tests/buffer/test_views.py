"""peek, pullup and reserve: memoryviews that keep the bytes where they are."""

import socket
import struct
import sys

import pytest

import pyevent
from pyevent import Buffer

CHANGES = {
    "drain": lambda buf: buf.drain(1),
    "remove": lambda buf: buf.remove(1),
    "readln": lambda buf: buf.readln(),
    "readlines": lambda buf: buf.readlines(),
    "prepend": lambda buf: buf.prepend(b"x"),
    "prepend_buffer": lambda buf: buf.prepend_buffer(Buffer(b"x")),
    "move": lambda buf: Buffer().add_buffer(buf),
    "remove_buffer": lambda buf: buf.remove_buffer(Buffer(), 1),
}


def in_pieces(n=10, size=5000):
    buf = Buffer()
    for i in range(n):
        buf.add_reference(bytes([65 + i]) * size)
    return buf


def leaks(call):
    """What more is allocated after the tenth call than after the first."""
    call()
    before = pyevent.live_allocations()
    for _ in range(9):
        call()
    after = pyevent.live_allocations()
    return {kind: n - before[kind] for kind, n in after.items() if n != before[kind]}


def test_peek_shows_the_bytes_piece_by_piece():
    buf = in_pieces()
    whole = bytes(buf)
    views = buf.peek()
    assert b"".join(views) == whole
    assert len(views) == 10
    assert all(view.readonly and view.contiguous and view.format == "B" for view in views)


@pytest.mark.parametrize("start", [0, 1, 4999, 5000, 12345, 49999])
@pytest.mark.parametrize("size", [0, 1, 5000, 5001, 20000, 1 << 40])
def test_peek_shows_a_part(start, size):
    buf = in_pieces()
    assert b"".join(buf.peek(size, start)) == bytes(buf)[start : start + size]


def test_peek_at_nothing():
    assert Buffer().peek() == []
    assert Buffer(b"abc").peek(start=3) == Buffer(b"abc").peek(10, 4) == []
    with pytest.raises(ValueError, match="negative"):
        Buffer(b"abc").peek(1, -1)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("look", ["peek", "pullup"])
def test_a_looked_at_buffer_refuses_changes_at_the_start(look, change):
    buf = Buffer(b"line\nanother\n")
    view = getattr(buf, look)()
    with pytest.raises(BufferError, match="memoryview"):
        CHANGES[change](buf)
    assert "pinned" in repr(buf)
    assert bytes(buf) == b"line\nanother\n"
    del view
    assert "pinned" not in repr(buf)
    CHANGES[change](buf)


def test_a_looked_at_buffer_is_not_written(socketpair):
    buf = Buffer(b"x")
    with buf.pullup(), pytest.raises(BufferError):
        buf.write(socketpair[0])
    assert buf.write(socketpair[0]) == 1


def test_a_looked_at_buffer_grows_at_the_end():
    buf = Buffer(b"abc")
    (view,) = buf.peek()
    for _ in range(1000):
        buf.add(b"def")
    assert view == b"abc"
    assert bytes(buf) == b"abc" + b"def" * 1000


def test_releasing_is_enough():
    buf = Buffer(b"abc")
    (view,) = buf.peek()
    view.release()
    buf.drain(1)
    with buf.pullup(2) as view:
        assert view == b"bc"
    buf.drain(1)


def test_each_view_of_a_view_counts():
    buf = Buffer(b"abc")
    (view,) = buf.peek()
    other = view[1:]
    view.release()
    with pytest.raises(BufferError):
        buf.drain()
    assert other == b"bc"
    other.release()
    buf.drain()


def test_a_view_outlives_its_buffer():
    def outlive():
        buf = Buffer(b"abc" * 1000)
        (view,) = buf.peek()
        held = buf.pullup(6)
        buf.close()
        assert bytes(view) == b"abc" * 1000
        del buf
        assert held == b"abcabc"
        exporter = view.obj
        view.release()
        with pytest.raises(BufferError):
            memoryview(exporter)

    assert not leaks(outlive)


def test_nobody_writes_through_a_look():
    buf = Buffer(b"abc")
    (view,) = buf.peek()
    with pytest.raises(TypeError):
        view[0] = 1


def test_what_is_looked_at_can_be_sent(socketpair):
    near, far = socketpair
    buf = in_pieces(3, 100)
    assert near.sendmsg(buf.peek()) == 300
    assert far.recv(1000) == bytes(buf)
    buf.drain()


# --- pullup


@pytest.mark.parametrize("size", [1, 5000, 5001, 30_000, 50_000, -1])
def test_pullup_makes_one_piece(size):
    buf = in_pieces()
    whole = bytes(buf)
    n = len(whole) if size < 0 else size
    assert buf.get_contiguous_space() == 5000
    assert bytes(buf.pullup(size)) == whole[:n]
    assert buf.get_contiguous_space() >= n
    assert bytes(buf) == whole


def test_pullup_for_a_header():
    buf = Buffer()
    for byte in struct.pack("!IH", 7, 8):
        buf.add_reference(bytes([byte]))
    assert struct.unpack("!IH", buf.pullup(6)) == (7, 8)
    buf.drain(6)


def test_pullup_of_more_than_there_is_is_a_value_error():
    buf = Buffer(b"abc")
    with pytest.raises(ValueError, match="fewer"):
        buf.pullup(4)
    assert buf.pullup(0) == Buffer().pullup() == b""


def test_pullup_of_scattered_bytes_is_refused_while_they_are_looked_at():
    buf = in_pieces()
    views = buf.peek(1)
    assert bytes(buf.pullup(10)) == b"A" * 10
    with pytest.raises(BufferError):
        buf.pullup(6000)
    del views
    buf.pullup(6000)


def test_code_that_runs_in_a_pullup_may_close_the_buffer():
    class Closing:
        def __del__(self):
            buf.close()

    class Lent(bytearray):
        pass

    buf = Buffer(b"a")
    lent = Lent(b"b" * 5000)
    lent.closing = Closing()
    buf.add_reference(lent)
    del lent
    with pytest.raises(ValueError, match="closed"):
        buf.pullup()


# --- reserve and commit


def test_reserved_room_is_added_when_committed():
    buf = Buffer(b"abc")
    room = buf.reserve(10)
    assert len(room) == 10
    assert not room.readonly
    room[:3] = b"def"
    assert bytes(buf) == b"abc"
    buf.commit(room, 3)
    assert bytes(buf) == b"abcdef"
    with pytest.raises(ValueError, match="released"):
        room[0] = 1
    with pytest.raises(ValueError, match="released"):
        buf.commit(room, 3)


@pytest.mark.parametrize("size", [1, 100, 4096, 1 << 20])
def test_all_of_the_room_is_committed_by_default(size):
    buf = Buffer()
    room = buf.reserve(size)
    room[:] = b"x" * size
    buf.commit(room)
    assert bytes(buf) == b"x" * size


def test_room_that_is_not_committed_is_dropped():
    buf = Buffer(b"abc")

    def drop():
        with buf.reserve(100_000) as room:
            room[0] = 1
        buf.commit(buf.reserve(10), 0)

    assert not leaks(drop)
    assert bytes(buf) == b"abc"


def test_a_socket_receives_into_the_room(socketpair):
    near, far = socketpair
    near.send(b"hello")
    buf = Buffer()
    room = buf.reserve(100)
    buf.commit(room, far.recv_into(room))
    assert bytes(buf) == b"hello"


def test_other_changes_go_on_while_room_is_reserved():
    buf = Buffer(b"abc\n")
    room = buf.reserve(4)
    buf.add(b"def\n")
    assert buf.readln() == b"abc"
    room[:] = b"end\n"
    buf.commit(room)
    assert buf.readlines() == [b"def", b"end"]


def test_room_is_committed_to_its_own_buffer_only():
    buf, other = Buffer(b"abc"), Buffer()
    for wrong in (other.reserve(5), buf.peek()[0], memoryview(b"abc"), buf.reserve(5)[1:]):
        with pytest.raises(ValueError, match="reserve"):
            buf.commit(wrong)
    with pytest.raises(TypeError):
        buf.commit(b"abc")
    room = buf.reserve(5)
    for wrong in (6, -1):
        with pytest.raises(ValueError, match=r"6|negative"):
            buf.commit(room, wrong)
    assert bytes(buf) == b"abc"
    buf.commit(room, 5)


def test_room_that_somebody_else_writes_to_is_not_committed():
    buf = Buffer()
    room = buf.reserve(5)
    other = room[:2]
    with pytest.raises(BufferError):
        buf.commit(room)
    other[:] = b"ab"
    buf.commit(other)
    assert bytes(buf) == b"ab"


def test_room_of_a_frozen_buffer_waits():
    buf = Buffer()
    room = buf.reserve(1)
    room[0] = 65
    buf.freeze(False)
    with pytest.raises(PermissionError):
        buf.commit(room)
    buf.unfreeze(False)
    buf.commit(room)
    assert bytes(buf) == b"A"


def test_room_of_a_dropped_buffer_is_written_to_in_vain():
    def write():
        room = Buffer().reserve(5000)
        room[:] = b"x" * 5000
        with pytest.raises(ValueError, match="reserve"):
            Buffer().commit(room)

    assert not leaks(write)


@pytest.mark.parametrize("size", [0, -1])
def test_room_of_no_size_is_a_value_error(size):
    with pytest.raises(ValueError, match="positive"):
        Buffer().reserve(size)


def test_room_beyond_memory_is_an_error():
    for size in (sys.maxsize, 1 << 80):
        with pytest.raises((MemoryError, OverflowError)):
            Buffer().reserve(size)


def test_pins_are_neither_made_nor_copied():
    (view,) = Buffer(b"abc").peek()
    made = type(view.obj)()
    with pytest.raises(BufferError):
        memoryview(made)
    with pytest.raises(TypeError):
        view.obj.__reduce__()


def test_a_view_of_a_closed_socket_s_data_stays():
    near, far = socket.socketpair()
    buf = Buffer()
    with near, far:
        near.send(b"hello")
        buf.read(far)
    assert buf.pullup(5) == b"hello"


def test_reserved_room_shows_nothing_that_was_there_before():
    for size in (10, 1000, 4096, 65536, 300_000):
        secret = Buffer(b"secret" * (size // 6 + 1))
        secret.close()
        room = Buffer().reserve(size)
        assert not any(room)
        room.release()
