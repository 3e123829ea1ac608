"""Bytes in at the end, out at the start; what a wrong argument gets."""

import array
import copy
import mmap
import pickle
import sys

import pytest

import pyevent
from pyevent import Buffer, BufferCallback, EventBase, FileSegment


@pytest.fixture
def buf():
    with Buffer() as buffer:
        yield buffer


def test_bytes_come_out_in_the_order_they_went_in(buf):
    buf.add(b"hello ")
    buf.add(b"world")
    assert buf.remove(4) == b"hell"
    assert buf.remove(100) == b"o world"
    assert buf.remove(1) == b""


def test_a_new_buffer_holds_what_it_is_given():
    assert bytes(Buffer(b"abc")) == b"abc"
    assert bytes(Buffer()) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"abcd",
        bytearray(b"abcd"),
        memoryview(b"xabcdx")[1:5],
        array.array("H", [0x6261, 0x6463] if sys.byteorder == "little" else [0x6162, 0x6364]),
        type("Bytes", (bytes,), {})(b"abcd"),
    ],
    ids=lambda data: type(data).__name__,
)
@pytest.mark.parametrize("name", ["add", "prepend", "add_reference"])
def test_anything_with_contiguous_bytes_can_be_added(buf, name, data):
    getattr(buf, name)(data)
    assert bytes(buf) == b"abcd"


def test_a_mapped_file_can_be_lent_and_is_let_go(buf, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10000)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        buf.add_reference(mapped)
        with pytest.raises(BufferError):
            mapped.close()
        assert buf.remove() == b"x" * 10000
        mapped.close()


@pytest.mark.parametrize("name", ["add", "prepend", "add_reference", "search"])
@pytest.mark.parametrize("data", ["text", 5, None, [1]])
def test_what_has_no_bytes_is_a_type_error(buf, name, data):
    with pytest.raises(TypeError):
        getattr(buf, name)(data)
    assert len(buf) == 0


def test_a_strided_view_is_a_buffer_error_as_for_a_file(buf):
    for call in (buf.add, buf.prepend, buf.add_reference):
        with pytest.raises(BufferError):
            call(memoryview(b"abcdef")[::2])
    assert not buf


def test_added_memory_is_released_at_once(buf):
    data = bytearray(b"abc")
    buf.add(data)
    buf.prepend(data)
    data += b"resized"  # BufferError while somebody exports it
    assert bytes(buf) == b"abcabc"


def test_lent_memory_is_held_until_its_last_byte_has_gone(buf):
    data = bytearray(b"x" * 5000)
    buf.add_reference(data)
    buf.drain(4999)
    with pytest.raises(BufferError):
        data.append(1)
    buf.drain(1)
    data.append(1)


def test_lent_bytes_are_held_until_the_buffer_goes():
    data = b"x" * 5000 + bytes(1)
    before = sys.getrefcount(data)
    buf = Buffer()
    buf.add_reference(data)
    assert sys.getrefcount(data) == before + 1
    del buf
    assert sys.getrefcount(data) == before


def test_nothing_is_lent_when_adding_fails(buf):
    data, other = b"y" * 5000, bytearray(5000)
    before = sys.getrefcount(data)
    buf.freeze(False)
    for lent in (data, other):
        with pytest.raises(PermissionError):
            buf.add_reference(lent)
    buf.close()
    for lent in (data, other):
        with pytest.raises(ValueError, match="closed"):
            buf.add_reference(lent)
    assert sys.getrefcount(data) == before
    other.append(1)


def test_lending_nothing_holds_nothing(buf):
    data = bytearray()
    buf.add_reference(data)
    data.append(1)
    assert len(buf) == 0


def test_prepend_puts_before_the_start(buf):
    buf.add(b"world")
    buf.prepend(b"hello ")
    buf.prepend(b"")
    assert bytes(buf) == b"hello world"


def test_length_and_truth(buf):
    assert len(buf) == buf.get_length() == 0
    assert not buf
    buf.add(b"abc")
    assert len(buf) == buf.get_length() == 3
    assert buf


def test_copyout_leaves_the_bytes(buf):
    buf.add(b"abcdef")
    assert buf.copyout(2) == b"ab"
    assert buf.copyout() == b"abcdef"
    assert buf.copyout_from(2, 3) == b"cde"
    assert buf.copyout_from(4) == b"ef"
    assert buf.copyout_from(6, 1) == buf.copyout_from(7) == buf.copyout(0) == b""
    assert bytes(buf) == b"abcdef"


def test_drain_throws_away(buf):
    buf.add(b"abcdef")
    buf.drain(2)
    assert bytes(buf) == b"cdef"
    buf.drain(100)
    assert not buf
    buf.add(b"abc")
    buf.drain()
    assert not buf
    buf.drain(1)


def test_bytes_that_lie_in_many_pieces_are_put_together(buf):
    pieces = [bytes([i % 251]) * 3000 for i in range(400)]
    for piece in pieces:
        buf.add_reference(piece)
        buf.add(piece)
    whole = b"".join(piece * 2 for piece in pieces)
    assert bytes(buf) == whole
    assert buf.copyout_from(5999, 100000) == whole[5999:105999]
    assert buf.remove(len(whole) - 1) == whole[:-1]
    assert buf.remove() == whole[-1:]


@pytest.mark.parametrize("name", ["remove", "drain", "copyout", "copyout_from", "expand"])
def test_sizes_are_checked_as_those_of_a_file(buf, name):
    call = getattr(buf, name)
    buf.add(b"abc")
    with pytest.raises(ValueError, match="negative"):
        call(-1)
    with pytest.raises(OverflowError):
        call(1 << 80)
    for wrong in ("1", 1.0):
        with pytest.raises(TypeError):
            call(wrong)
    assert bytes(buf) == b"abc"


def test_a_size_may_be_anything_with_an_index(buf):
    class Two:
        def __index__(self):
            return 2

    buf.add(b"abcd")
    assert buf.copyout(Two()) == buf.remove(Two()) == b"ab"


def test_an_index_that_closes_the_buffer_is_noticed(buf):
    class Closing:
        def __index__(self):
            buf.close()
            return 2

    buf.add(b"abcd")
    with pytest.raises(ValueError, match="closed"):
        buf.remove(Closing())


def test_expand_makes_room_and_adds_nothing(buf):
    buf.expand(100_000)
    before = pyevent.live_allocations()["segment"]
    assert len(buf) == 0
    for _ in range(100):
        buf.add(b"x" * 1000)
    assert pyevent.live_allocations()["segment"] == before
    with pytest.raises((MemoryError, OverflowError)):
        buf.expand(sys.maxsize)
    assert len(buf) == 100_000


@pytest.mark.parametrize("n", range(1, 4))
@pytest.mark.parametrize("name", ["add", "prepend", "add_reference", "reserve"])
def test_a_failing_allocation_is_a_memory_error_and_changes_nothing(name, n):
    buf = Buffer()
    size = 200_000 if name == "reserve" else bytearray(200_000)
    before = pyevent.live_allocations()
    pyevent._native.core._fail_allocation(n)
    try:
        getattr(buf, name)(size)
    except MemoryError:
        assert len(buf) == 0
        assert pyevent.live_allocations() == before
    finally:
        pyevent._native.core._fail_allocation(0)


def test_making_one_fails_without_memory():
    pyevent._native.core._fail_allocation(1)
    try:
        with pytest.raises(MemoryError):
            Buffer()
    finally:
        pyevent._native.core._fail_allocation(0)


# --- freezing


def test_a_frozen_start_refuses_to_give(buf):
    buf.add(b"abc\n")
    buf.freeze(True)
    calls = [buf.drain, buf.remove, buf.readln, buf.readlines, buf.copyout]
    for call in [*calls, lambda: buf.prepend(b"x"), lambda: Buffer().add_buffer(buf)]:
        with pytest.raises(PermissionError, match="frozen"):
            call()
    buf.add(b"def\n")
    assert bytes(buf) == b"abc\ndef\n"
    assert "frozen-start" in repr(buf)
    buf.unfreeze(True)
    assert buf.readln() == b"abc"


def test_a_frozen_end_refuses_to_take(buf):
    buf.add(b"abc\n")
    buf.freeze(False)
    for call in (buf.add, buf.add_reference):
        with pytest.raises(PermissionError, match="frozen"):
            call(b"x")
    with pytest.raises(PermissionError, match="frozen"):
        buf.add_buffer(Buffer(b"x"))
    with pytest.raises(PermissionError, match="frozen"):
        buf.reserve(1)
    assert buf.readln() == b"abc"
    buf.unfreeze(False)
    buf.add(b"x")


# --- what it is as an object


def test_everything_but_closing_is_refused_once_closed():
    buf = Buffer(b"abc")
    base = EventBase()
    room = buf.reserve(10)
    other = Buffer()
    buf.close()
    buf.close()
    assert buf.closed
    assert repr(buf) == "<Buffer closed>"
    calls = {
        name: getattr(buf, name) for name in dir(Buffer) if not name.startswith("_") and
        name not in ("close", "free", "closed", "max_read")
    }  # fmt: skip
    arguments = {
        **dict.fromkeys(["add", "add_reference", "prepend", "search", "search_range"], (b"x",)),
        **dict.fromkeys(["read", "write", "write_atmost"], (0,)),
        **dict.fromkeys(["freeze", "unfreeze"], (True,)),
        **{name: (other,) for name in calls if "_buffer" in name},
        **dict.fromkeys(["copyout_from", "expand", "reserve", "set_max_read"], (1,)),
        **dict.fromkeys(["writelines", "add_iovec"], ([b"x"],)),
        **dict.fromkeys(["add_cb", "remove_cb"], (print,)),
        **dict.fromkeys(["remove_cb_entry"], (BufferCallback(),)),
        **dict.fromkeys(["cb_set_flags", "cb_clear_flags"], (BufferCallback(), 1)),
        **dict.fromkeys(["set_flags", "clear_flags"], (1,)),
        "find": (b"x",),
        "add_file": (__file__,),
        "add_file_segment": (FileSegment(__file__),),
        "defer_callbacks": (base,),
        "commit": (room,),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match="closed"):
            call(*arguments.get(name, ()))
    for call in (len, bool, bytes, lambda b: b.max_read, lambda b: b.__enter__()):
        with pytest.raises(ValueError, match="closed"):
            call(buf)
    for call in (other.add_buffer, other.prepend_buffer, other.remove_buffer):
        with pytest.raises(ValueError, match="closed"):
            call(buf)
    base.close()


def test_a_buffer_is_neither_pickled_nor_copied(buf):
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Buffer"):
            call(buf)


def test_a_buffer_has_no_dict_unless_subclassed(buf):
    with pytest.raises(AttributeError):
        buf.anything = 1
    subclassed = type("Mine", (Buffer,), {})(b"x")
    subclassed.anything = 1
    assert repr(subclassed) == "<Mine length=1>"


def test_a_subclass_that_forgets_init_is_closed():
    forgetful = type("Forgetful", (Buffer,), {"__init__": lambda self: None})()
    assert forgetful.closed
    with pytest.raises(ValueError, match="closed Forgetful"):
        forgetful.add(b"x")


def test_a_buffer_is_set_up_once(buf):
    buf.add(b"x")
    with pytest.raises(RuntimeError):
        buf.__init__()
    assert bytes(buf) == b"x"


def test_dropped_buffers_give_their_memory_back():
    def use():
        for _ in range(100):
            buf = Buffer(b"x" * 10_000)
            buf.add_reference(b"y" * 10_000)
            buf.peek()

    use()
    before = pyevent.live_allocations()
    use()
    assert pyevent.live_allocations() == before
