"""From buffer to buffer."""

import pytest

from pyevent import Buffer

BIG = bytes(range(256)) * 1024


def test_add_buffer_moves_everything():
    near, far = Buffer(b"abc"), Buffer(BIG)
    near.add_buffer(far)
    assert bytes(near) == b"abc" + BIG
    assert len(far) == 0
    near.add_buffer(far)
    assert len(near) == 3 + len(BIG)
    far.add(b"still of use")
    assert bytes(far) == b"still of use"


def test_prepend_buffer_puts_before_the_start():
    near, far = Buffer(b"abc"), Buffer(BIG)
    near.prepend_buffer(far)
    assert bytes(near) == BIG + b"abc"
    assert len(far) == 0


def test_moving_to_itself_changes_nothing():
    buf = Buffer(b"abc")
    buf.add_buffer(buf)
    buf.prepend_buffer(buf)
    assert bytes(buf) == b"abc"


@pytest.mark.parametrize("size", [0, 1, 3, 4096, len(BIG) - 1, len(BIG)])
def test_remove_buffer_moves_the_first_bytes(size):
    source, target = Buffer(BIG), Buffer(b"abc")
    assert source.remove_buffer(target, size) == size
    assert bytes(target) == b"abc" + BIG[:size]
    assert bytes(source) == BIG[size:]


def test_remove_buffer_moves_what_there_is():
    source, target = Buffer(b"abc"), Buffer()
    assert source.remove_buffer(target, 100) == 3
    assert source.remove_buffer(target) == 0
    target.remove_buffer(source)
    assert bytes(source) == b"abc"
    with pytest.raises(ValueError, match="negative"):
        source.remove_buffer(target, -1)


def test_add_buffer_reference_leaves_the_bytes_where_they_are():
    source, first, second = Buffer(BIG), Buffer(b"1"), Buffer(b"2")
    first.add_buffer_reference(source)
    second.add_buffer_reference(source)
    source.add(b"more")
    assert bytes(source) == BIG + b"more"
    source.close()
    assert bytes(first) == b"1" + BIG
    assert bytes(second) == b"2" + BIG


def test_shared_bytes_are_not_shared_again():
    source, middle = Buffer(BIG), Buffer()
    middle.add_buffer_reference(source)
    for call in (Buffer().add_buffer_reference, middle.add_buffer_reference):
        with pytest.raises(ValueError, match="not possible"):
            call(middle)
    assert bytes(middle) == BIG


@pytest.mark.parametrize(
    "name", ["add_buffer", "prepend_buffer", "add_buffer_reference", "remove_buffer"]
)
def test_only_buffers_are_moved(name):
    buf = Buffer(b"abc")
    for other in (b"abc", None, 5):
        with pytest.raises(TypeError):
            getattr(buf, name)(other)


def test_lines_go_on_across_a_move():
    near, far = Buffer(b"a\nb"), Buffer(b"c\nd\n")
    assert near.readln() == b"a"
    assert near.readln() is None
    near.add_buffer(far)
    assert near.readlines() == [b"bc", b"d"]


def test_all_of_a_buffer_longer_than_an_int_is_removed(tmp_path):
    size = (1 << 31) + 5000
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size)  # a hole
    source, target = Buffer(), Buffer(b"before")
    source.add_file(tmp_path / "file")
    assert source.remove_buffer(target) == size
    assert (len(source), len(target)) == (0, size + 6)
    assert target.remove_buffer(source, size + 5) == size + 5


@pytest.mark.parametrize("size", [1, 100, 512])
@pytest.mark.parametrize("move", ["add_buffer", "remove_buffer", "prepend_buffer"])
def test_what_is_lent_moves_without_a_copy(move, size):
    lent = bytearray(b"x" * size)
    source, target = Buffer(), Buffer(b"head")
    source.add_reference(lent)
    if move == "remove_buffer":
        assert source.remove_buffer(target) == size
    else:
        getattr(target, move)(source)
    assert len(target) == size + 4
    with pytest.raises(BufferError):
        lent.append(0)  # it is still in there
    lent[0] = ord("y")
    assert b"y" in target
    target.drain()
    lent.append(0)
