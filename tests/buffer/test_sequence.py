"""A buffer as a sequence of bytes: slices, indices, finding, iterating over lines, many pieces."""

import sys

import pytest

from pyevent import EVBUFFER_EOL_LF, EVBUFFER_EOL_NUL, Buffer

DATA = bytes(range(256)) * 40


def scattered(data, size=700):
    buf = Buffer()
    for i in range(0, len(data), size):
        (buf.add_reference if i % 3 else buf.add)(data[i : i + size])
    return buf


INDICES = [None, 0, 1, 5, 699, 700, 701, 5000, 10_239, 10_240, 99_999, -1, -5, -10_240, -99_999]


@pytest.mark.parametrize("step", [None, 1, 2, 7, -1, -3, 20_000, -20_000])
def test_slices_are_copies_as_those_of_bytes(step):
    buf = scattered(DATA)
    for start in INDICES:
        for stop in INDICES:
            assert buf[start:stop:step] == DATA[start:stop:step], (start, stop)
    assert type(buf[1:5]) is bytes
    assert len(buf) == len(DATA)


def test_indices_are_as_those_of_bytes():
    buf = scattered(DATA)
    for i in INDICES[1:]:
        if -len(DATA) <= i < len(DATA):
            assert buf[i] == DATA[i]
        else:
            with pytest.raises(IndexError):
                buf[i]
    for wrong in (1 << 80, -1 << 80):
        with pytest.raises(IndexError):
            buf[wrong]
    for wrong in ("1", 1.0, None):
        with pytest.raises(TypeError):
            buf[wrong]
    with pytest.raises(ValueError, match="zero"):
        buf[::0]
    with pytest.raises(TypeError):
        buf[0] = 1


def test_an_index_that_drains_the_buffer_is_noticed():
    class Draining:
        def __init__(self, n):
            self.n = n

        def __index__(self):
            buf.drain(9)
            return self.n

    buf = Buffer(b"0123456789")
    assert buf[0 : Draining(10)] == b"9"
    buf = Buffer(b"0123456789")
    assert buf[5 : Draining(10)] == b""
    buf = Buffer(b"0123456789")
    with pytest.raises(IndexError):
        buf[Draining(5)]
    buf = Buffer(b"0123456789")
    assert buf.find(b"9", Draining(0)) == 0


FOUND = [b"", b"\0", b"\xff\0", DATA[650:750], DATA, DATA + b"x", b"nothing", 0, 255, 7]


@pytest.mark.parametrize("what", FOUND, ids=lambda what: str(what)[:12])
def test_finding_is_as_in_bytes(what):
    buf = scattered(DATA)
    assert (what in buf) == (what in DATA)
    for start in INDICES:
        for end in INDICES:
            assert buf.find(what, start, end) == DATA.find(what, start, end), (start, end)


def test_finding_takes_bytes_or_a_byte():
    buf = Buffer(b"abc")
    assert memoryview(b"bc") in buf
    assert bytearray(b"cb") not in buf
    for wrong in ("b", None, 1.5):
        with pytest.raises(TypeError):
            wrong in buf  # noqa: B015
    for wrong in (256, -1):
        with pytest.raises(ValueError, match="range"):
            wrong in buf  # noqa: B015


def test_iterating_takes_lines_out():
    buf = Buffer(b"one\r\ntwo\n\nrest")
    assert list(buf) == [b"one", b"two", b""]
    assert bytes(buf) == b"rest"
    buf.add(b"\n")
    assert iter(buf) is buf
    assert next(buf) == b"rest"
    with pytest.raises(StopIteration):
        next(buf)


def test_a_loop_over_lines_goes_on_with_what_it_adds():
    buf, found = Buffer(b"3\n"), []
    for line in buf:
        found.append(line)
        if line != b"0":
            buf.add(b"%d\n" % (int(line) - 1))
    assert found == [b"3", b"2", b"1", b"0"]


def test_closed_and_frozen_buffers_do_not_iterate():
    buf = Buffer(b"a\n")
    buf.freeze(True)
    with pytest.raises(PermissionError):
        list(buf)
    assert buf[0:1] == b"a"
    buf.close()
    for call in (iter, next, list, lambda b: b[0], lambda b: b[:], lambda b: b"x" in b):
        with pytest.raises(ValueError, match="closed"):
            call(buf)


# --- many pieces


def test_writelines_adds_all_pieces():
    buf = Buffer(b"0")
    assert buf.writelines([b"1", bytearray(b"22"), memoryview(b"333"), b""]) is None
    buf.writelines(str(i).encode() for i in range(4, 6))
    buf.writelines([])
    buf.writelines([b"y" * 100_000, b"z" * 10])
    assert bytes(buf) == b"012233345" + b"y" * 100_000 + b"z" * 10
    assert buf.add_iovec([b"ab", b"c"]) == 3


def test_writelines_adds_all_or_nothing():
    buf, data = Buffer(b"x"), bytearray(b"abc")
    for wrong in ([b"a", "b"], [data, 5], 5, [memoryview(b"abcd")[::2]]):
        with pytest.raises((TypeError, BufferError)):
            buf.writelines(wrong)
    data.append(1)  # BufferError while somebody exports it
    buf.freeze(False)
    with pytest.raises(PermissionError):
        buf.writelines([b"a"])
    assert bytes(buf) == b"x"


def test_a_generator_that_closes_the_buffer_is_noticed():
    def pieces():
        yield b"a"
        buf.close()

    buf = Buffer()
    with pytest.raises(ValueError, match="closed"):
        buf.writelines(pieces())


# --- long lines

LIMIT = 10
calls = pytest.mark.parametrize("name", ["readln", "readlines"])


@calls
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_the_limit_is_taken(name, end):
    buf = Buffer(b"x" * LIMIT)
    for byte in end:
        assert not getattr(buf, name)(max_line=LIMIT)
        buf.add(bytes([byte]))
    assert getattr(buf, name)(max_line=LIMIT) in (b"x" * LIMIT, [b"x" * LIMIT])


@calls
@pytest.mark.parametrize(
    "data",
    [b"x" * 11 + b"\nrest\n", b"x" * 11, b"x" * 11 + b"\r", b"x" * 10 + b"\ry", b"x" * 100_000],
    ids=len,
)
def test_a_longer_one_is_an_error_that_names_the_limit(name, data):
    buf = Buffer()
    for i in range(0, len(data), 5):
        buf.add_reference(data[i : i + 5])
    for _ in range(2):
        with pytest.raises(ValueError, match="line longer than 10 bytes"):
            getattr(buf, name)(max_line=LIMIT)
    assert bytes(buf) == data
    assert len(getattr(buf, name)() or data) >= 1  # without a limit


@calls
def test_a_limit_of_0_allows_empty_lines(name):
    buf = Buffer(b"\r\n")
    assert getattr(buf, name)(max_line=0) in (b"", [b""])
    buf.add(b"a")
    with pytest.raises(ValueError, match="0 bytes"):
        getattr(buf, name)(max_line=0)


def test_lines_before_one_that_is_too_long_are_returned_first():
    buf = Buffer(b"a\nb\n" + b"x" * 11 + b"\nc\n")
    assert buf.readlines(max_line=LIMIT) == [b"a", b"b"]
    with pytest.raises(ValueError, match="longer than 10"):
        buf.readlines(EVBUFFER_EOL_LF, -1, LIMIT)
    buf.drain(12)
    assert buf.readlines(max_line=LIMIT) == [b"c"]


def test_other_ends_know_no_cr():
    buf = Buffer(b"x" * 10 + b"\r")
    for eol in (EVBUFFER_EOL_LF, EVBUFFER_EOL_NUL):
        with pytest.raises(ValueError, match="longer"):
            buf.readln(eol, LIMIT)
    assert buf.readln(max_line=LIMIT) is None


@calls
def test_an_endless_line_is_noticed_at_once(name):
    """What a hostile peer sends without an end is refused a few bytes past the limit."""
    buf = Buffer()
    with pytest.raises(ValueError, match="longer than 1000"):  # noqa: PT012
        while len(buf) < 1 << 20:
            assert not getattr(buf, name)(max_line=1000)
            buf.add(b"x" * 7)
    assert len(buf) <= 1007


def test_limits_are_numbers():
    for wrong in ("1", 1.0):
        with pytest.raises(TypeError):
            Buffer().readln(max_line=wrong)
    with pytest.raises(OverflowError):
        Buffer().readlines(max_line=1 << 80)
    assert Buffer(b"a\n").readln(max_line=sys.maxsize) == b"a"
