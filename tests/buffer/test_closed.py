"""A buffer that is closed, or was never set up, says so whatever is asked of it."""

import gc
import os
import sys
import weakref

import pytest

import pyevent
from pyevent import Buffer, BufferCallback, BufferEvent, EventBase, FileSegment

from .calls import CALLS, PATH, names_of

ANSWERS = {"close", "closed", "free", "__exit__"}


@pytest.fixture
def base():
    with EventBase() as one:
        yield one


def closed(base):
    buf = Buffer(b"text\n")
    buf.close()
    return buf


def never_set_up(base):
    return Buffer.__new__(Buffer)


def failed_to_be_set_up(base):
    buf = Buffer.__new__(Buffer)
    pyevent._native.core._fail_allocation(1)
    try:
        with pytest.raises(MemoryError):
            buf.__init__(b"text")
    finally:
        pyevent._native.core._fail_allocation(0)
    return buf


def without_its_connection(base):
    bev = BufferEvent(base, -1)
    buf = bev.output
    buf.add(b"text\n")
    bev.close()
    return buf


def without_its_base(base):
    with EventBase() as other:
        buf = [BufferEvent(other, -1).input]  # open so far
    return buf[0]


def with_callbacks(base):
    with EventBase() as other:
        buf = BufferEvent(other, -1).output
        buf.add_cb(print)
    return buf


KINDS = [
    closed,
    never_set_up,
    failed_to_be_set_up,
    without_its_connection,
    without_its_base,
    with_callbacks,
]

SETS = [
    (),
    (0,),
    (1,),
    (-1,),
    (None,),
    (b"x",),
    (1, 0),
    (0, 1),
    (b"x", 0),
    (b"x", 0, 1),
    (slice(None),),
    ([],),
    ([b"x"],),
    (memoryview(b"x"),),
    (PATH,),
    (print, None),
    (print,),
]


def test_every_name_is_tried():
    assert names_of(Buffer) - ANSWERS == {*CALLS, "max_read"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_buffer_raises_whatever_is_called(base, kind, socketpair):
    fd = socketpair[0].fileno()
    buf = kind(base)
    with pytest.raises(ValueError, match="closed"):
        buf.max_read  # noqa: B018
    with pytest.raises(ValueError, match="closed"):
        buf.max_read = 5
    for name, right in CALLS.items():
        buf = kind(base)
        method = getattr(buf, name)
        with pytest.raises(ValueError, match=r"closed|not a callback|not from reserve"):
            method(*right(base, fd))
        for args in SETS:
            with pytest.raises((ValueError, TypeError, OSError)):
                method(*args)
        # What is given to it may be closed as well.
        for args in ((buf,), (buf, 5), (FileSegment.__new__(FileSegment),)):
            with pytest.raises((ValueError, TypeError)):
                method(*args)
    os.fstat(fd)


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_buffer_answers_what_needs_no_bytes(base, kind):
    buf = kind(base)
    assert buf.closed
    assert "closed" in repr(buf)
    assert "closed" in str(buf)
    assert hash(buf) == object.__hash__(buf)
    assert buf == buf  # noqa: PLR0124
    assert buf != Buffer()
    assert sys.getsizeof(buf) >= buf.__sizeof__()
    assert weakref.ref(buf)() is buf
    assert buf.close() is None
    assert buf.free() is None
    assert buf.__exit__(None, None, None) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_buffer_is_refused_as_an_argument(base, kind):
    for name in ("add_buffer", "add_buffer_reference", "prepend_buffer", "remove_buffer"):
        with pytest.raises(ValueError, match="closed"):
            getattr(Buffer(b"x"), name)(kind(base))


def test_a_closed_buffer_is_not_opened_again(base):
    for kind in (closed, without_its_connection, without_its_base):
        buf = kind(base)
        with pytest.raises(RuntimeError, match="set up already"):
            buf.__init__(b"x")
        assert buf.closed


def test_one_whose_making_failed_can_be_made(base):
    buf = failed_to_be_set_up(base)
    buf.__init__(b"x")
    assert buf.remove() == b"x"


@pytest.mark.parametrize("kind", ["closed", "never set up"])
def test_a_closed_segment_raises(kind):
    segment = FileSegment.__new__(FileSegment)
    if kind == "closed":
        segment = FileSegment(PATH)
        segment.close()
    assert names_of(FileSegment) == {"__enter__", *ANSWERS}
    with pytest.raises(ValueError, match="closed"):
        segment.__enter__()
    buf = Buffer()
    for args in ((), (0,), (0, 1), (-1, -1), (0, None)):
        with pytest.raises(ValueError, match="closed"):
            buf.add_file_segment(segment, *args)
    assert segment.closed
    assert "closed" in repr(segment)
    segment.close()
    segment.free()
    segment.__exit__()
    if kind == "closed":
        with pytest.raises(RuntimeError, match="set up already"):
            segment.__init__(PATH)


def removed(buf, entry):
    entry.remove()


def buffer_closed(buf, entry):
    buf.close()


def test_a_callback_that_is_called_no_more_raises():
    assert names_of(BufferCallback) == {"enabled", "remove", "removed"}
    made = [BufferCallback.__new__(BufferCallback)]
    for end in (removed, buffer_closed):
        buf = Buffer()
        made.append(buf.add_cb(print))
        end(buf, made[-1])
    made.append(Buffer().add_cb(print))  # its buffer is collected
    gc.collect()
    for entry in made:
        with pytest.raises(ValueError, match="not called"):
            entry.enabled  # noqa: B018
        with pytest.raises(ValueError, match="not called"):
            entry.enabled = True
        assert entry.removed
        assert "removed" in repr(entry)
        entry.remove()
        buf = Buffer()
        for call in (buf.remove_cb_entry, lambda e, b=buf: b.cb_set_flags(e, 1)):
            with pytest.raises(ValueError, match="not a callback"):
                call(entry)


def test_a_pin_without_memory_has_none_to_show():
    view = Buffer(b"text").peek()[0]
    pin = view.obj
    view.release()
    for one in (pin, type(pin).__new__(type(pin))):
        with pytest.raises(BufferError):
            memoryview(one)
        with pytest.raises((BufferError, TypeError)):
            bytes(one)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python code cannot give views back")
def test_a_view_is_given_back_once():
    buf = Buffer(b"text")
    view, other = buf.peek()[0], buf.peek()[0]
    pin = view.obj
    with pytest.raises(ValueError, match="object"):
        pin.__release_buffer__(other)
    pin.__release_buffer__(view)
    with pytest.raises(ValueError, match="released"):
        pin.__release_buffer__(view)
    other.release()
    assert buf.remove() == b"text"
