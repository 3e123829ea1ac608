"""Python code that runs inside a call: an argument that is converted, compared or let go of.

Each method is called with each of its arguments replaced by one whose conversion closes the
buffer, its connection or its base, or takes its bytes away. What comes of it is an exception or an
answer; under AddressSanitizer it is also that nothing is used after it was freed.
"""

import gc
import os
import sys
import weakref
from contextlib import suppress

import pytest

from pyevent import Buffer, BufferEvent, EventBase, FileSegment

from .calls import CALLS, PATH

CAN_EXPORT = sys.version_info >= (3, 12)  # Python code can have `__buffer__`


class Scene:
    """A buffer of one kind, and what may happen to it."""

    def __init__(self, kind, deed):
        self.base = EventBase()
        self.bev = None
        self.buf = Buffer()
        if kind != "own":
            self.bev = BufferEvent(self.base, -1)
            self.buf = self.bev.input if kind == "input" else self.bev.output
            self.buf.unfreeze(True)
            self.buf.unfreeze(False)
        self.buf.add(b"some text\nand more\n")
        self.buf.add_reference(bytearray(b"lent\n"))
        self.deed = deed
        self.ran = 0
        self.ended = False

    def happen(self):
        self.ran += 1
        if self.ended:
            return
        if self.deed == "close":
            (self.buf if self.bev is None else self.bev).close()
        elif self.deed == "close the base":
            self.base.close()
        elif self.deed == "drain":
            if not self.buf.closed:
                self.buf.drain()
        elif not self.buf.closed:
            Buffer().add_buffer(self.buf)
            self.buf.add(b"x" * 10_000)

    def end(self):
        self.ended = True
        if not self.buf.closed:
            self.buf.unfreeze(True)
            self.buf.unfreeze(False)
            self.buf.drain()
            self.buf.add(b"fine\n")
            assert self.buf.readln() == b"fine"
        self.base.close()
        if self.bev is None:
            self.buf.close()
        assert self.buf.closed


def hostile(scene, value):
    """Objects that are as good as `value`, and have something happen when they are asked."""

    class Number:
        def __index__(self):
            scene.happen()
            return int(value) if isinstance(value, int) else 1

        __int__ = __index__

        def fileno(self):
            scene.happen()
            return int(value) if isinstance(value, int) else 1

        def __bool__(self):
            scene.happen()
            return bool(value)

    class Path(os.PathLike):
        def __fspath__(self):
            scene.happen()
            return PATH

    class Pieces:
        def __iter__(self):
            yield b"one"
            scene.happen()
            yield b"two"

    class Exporter:
        def __buffer__(self, flags):
            scene.happen()
            return memoryview(value if isinstance(value, (bytes, bytearray)) else b"x")

        def __release_buffer__(self, view):
            scene.happen()

    class Callable:
        def __call__(self, *args):
            pass

        def __eq__(self, other):
            scene.happen()
            return False

        __hash__ = None

    class Flags(int):
        def __index__(self):
            scene.happen()
            return 1

        def __and__(self, other):
            scene.happen()
            return 1

    found = [Number(), Path(), Pieces(), Callable(), Flags(1), slice(Number(), Number(), None)]
    return [*found, Exporter(), [b"one", Exporter()]][:N_HOSTILE]


N_HOSTILE = 8 if CAN_EXPORT else 6


KINDS = ["own", "input", "output"]
DEEDS = ["close", "close the base", "drain", "replace"]


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_argument_may_do_anything_while_it_is_converted(kind, deed, socketpair):
    socketpair[1].send(b"to be read")
    fd = socketpair[0].fileno()
    ran = set()
    for name, right in CALLS.items():
        for i in range(len(right(None, fd))):
            for which in range(N_HOSTILE):
                scene = Scene(kind, deed)
                args = list(right(scene.base, fd))
                args[i] = hostile(scene, args[i])[which]
                with suppress(ValueError, TypeError, OSError, IndexError, BufferError):
                    getattr(scene.buf, name)(*args)
                if scene.ran:
                    ran.add(name)
                del args
                scene.end()
    gc.collect()
    assert {"__getitem__", "add_file", "add_iovec", "copyout_from", "drain", "expand"} <= ran
    assert {"find", "freeze", "peek", "pullup", "read", "readln", "remove", "reserve"} <= ran
    assert {"remove_buffer", "search", "search_eol", "set_max_read", "write"} <= ran
    if CAN_EXPORT:
        assert {"add", "prepend", "add_reference", "__contains__", "writelines"} <= ran


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_s_arguments_may_do_anything_while_they_are_converted(kind, deed):
    for i in range(3):
        scene = Scene(kind, deed)
        with open(PATH, "rb") as file:
            args = [file, 1, 10]
            number = file.fileno() if i == 0 else args[i]
            args[i] = hostile(scene, number)[0]
            try:
                scene.buf.add_file(*args)
            except ValueError:
                assert scene.buf.closed
            assert scene.ran == 1
            segment = FileSegment(PATH)
            if i > 0:
                args[i] = hostile(scene, args[i])[0]
                (scene.buf if scene.bev is None else scene.bev).close()
                with pytest.raises(ValueError, match="closed"):
                    scene.buf.add_file_segment(segment, *args[1:])
        scene.end()


def test_a_segment_may_be_closed_while_it_is_added():
    class Offset:
        def __index__(self):
            segment.close()
            return 0

    segment, buf = FileSegment(PATH), Buffer()
    with pytest.raises(ValueError, match="closed"):
        buf.add_file_segment(segment, Offset())
    # Later than that it has been added, and is given up all the same.
    fd = os.open(PATH, os.O_RDONLY)
    segment = FileSegment(fd, 0, 10, 1)
    buf.add_cb(lambda *args: segment.close())
    buf.add_file_segment(segment)
    assert segment.closed
    os.fstat(fd)
    buf.drain()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_segment_may_be_set_up_while_it_is_set_up():
    class File:
        def fileno(self):
            if segment.closed:
                segment.__init__(PATH)
            return file.fileno()

    segment = FileSegment.__new__(FileSegment)
    with open(PATH, "rb") as file, pytest.raises(RuntimeError, match="set up already"):
        segment.__init__(File())
    assert not segment.closed
    segment.close()


class SameMethod:
    """Its bound methods are compared by code of its own."""

    def __init__(self, then):
        self.then = then

    def __call__(self, *args):
        pass

    def __eq__(self, other):
        self.then()
        return False

    __hash__ = None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deed", ["close", "close the base", "remove", "remove others"])
def test_callbacks_may_go_while_one_is_looked_for(kind, deed):
    from types import MethodType

    scene = Scene(kind, deed)
    entries = []

    def then():
        if deed == "remove":
            for entry in entries:
                entry.remove()
        elif deed == "remove others":
            entries.pop().remove() if entries else None
        else:
            scene.happen()

    owner = object()
    for _ in range(5):
        entries.append(scene.buf.add_cb(MethodType(SameMethod(then), owner)))
    with pytest.raises(ValueError, match="no such callback"):
        scene.buf.remove_cb(MethodType(SameMethod(then), owner))
    scene.end()


class Ending:
    """Has something happen when it goes."""

    def __init__(self, then):
        self.then = then

    def __del__(self):
        self.then()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("end", ["close", "remove", "drop", "base", "collect"])
def test_what_a_callback_held_may_do_anything_when_it_goes(kind, deed, end):
    scene = Scene(kind, deed)
    scene.buf.add_cb(print, Ending(scene.happen)).enabled = False
    entry = scene.buf.add_cb(print, Ending(scene.happen))
    entry.enabled = False
    if end == "remove":
        entry.remove()
        del entry
    elif end == "close":
        (scene.buf if scene.bev is None else scene.bev).close()
    elif end == "base":
        scene.base.close()
    else:
        del entry
        ring = [scene.buf]
        if end == "collect":
            ring.append(ring)
        scene.buf = Buffer()
        scene.bev = None
        del ring
    gc.collect()
    scene.end()


@pytest.mark.parametrize("deed", DEEDS)
def test_a_base_that_is_replaced_may_do_anything_when_it_goes(deed):
    scene = Scene("own", deed)

    class Mine(EventBase):
        def __del__(self):
            self.close()
            scene.happen()

    scene.buf.defer_callbacks(Mine())
    scene.buf.defer_callbacks(scene.base)
    gc.collect()
    assert scene.ran == 1
    scene.end()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_name_may_do_anything_while_a_repr_is_made(kind, deed):
    class Named(type):
        @property
        def __name__(cls):
            if scene is not None:
                scene.happen()
            return "Named"

    class Mine(Buffer, metaclass=Named):
        pass

    class Owner(BufferEvent, metaclass=Named):
        pass

    scene = None
    scene = Scene(kind, deed)
    if kind == "own":
        scene.buf = Mine(b"text")
    else:
        scene.bev = Owner(scene.base, -1)
        scene.buf = scene.bev.output
    assert isinstance(repr(scene.buf), str)
    scene.end()
    assert isinstance(repr(scene.buf), str)


@pytest.mark.parametrize("deed", ["close", "close the base", "drain", "replace"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_may_do_anything_whatever_it_is_called_for(kind, deed, socketpair):
    socketpair[1].send(b"to be read")
    ran = set()
    for name, right in CALLS.items():
        scene = Scene(kind, deed)
        if name.startswith("unfreeze"):
            scene.buf.freeze(True)
        once = []

        def told(buf, change, arg, once=once, scene=scene):
            if not once:
                once.append(change)
                scene.happen()

        scene.buf.add_cb(told)
        scene.buf.add_cb(told)
        args = right(scene.base, socketpair[0].fileno())
        if name == "commit":
            args = (scene.buf.reserve(10), 5)
        try:
            getattr(scene.buf, name)(*args)
        except ValueError:
            assert name in {"__enter__", "remove_cb", "remove_cb_entry", "cb_set_flags"} | {
                "cb_clear_flags"
            }
        if once:
            ran.add(name)
        scene.end()
    assert ran >= {"add", "add_buffer", "add_buffer_reference", "add_file", "add_file_segment"}
    assert ran >= {"add_iovec", "add_reference", "commit", "drain", "prepend", "prepend_buffer"}
    assert ran >= {"read", "readln", "readlines", "remove", "remove_buffer", "write", "__next__"}


def test_making_a_callback_may_collect_the_buffer_s_connection():
    """The collector runs when objects are made, and may close what they are made for."""
    base = EventBase()
    threshold = gc.get_threshold()
    try:
        for _ in range(50):
            bev = BufferEvent(base, -1)
            buf = bev.input
            ring = [Ending(bev.close)]
            ring.append(ring)
            del ring
            gc.set_threshold(1)
            try:
                buf.add_cb(print)
            except (ValueError, RuntimeError):
                assert buf.closed
            gc.set_threshold(*threshold)
            gone = weakref.ref(buf)
            bev.close()
            del bev, buf
            gc.collect()
            assert gone() is None
    finally:
        gc.set_threshold(*threshold)
        base.close()
