"""readln and readlines: every end of line, however the bytes came in."""

import pytest

from pyevent import (
    EVBUFFER_EOL_ANY,
    EVBUFFER_EOL_CRLF,
    EVBUFFER_EOL_CRLF_STRICT,
    EVBUFFER_EOL_LF,
    EVBUFFER_EOL_NUL,
    Buffer,
    EolStyle,
)

DATA = b"one\r\ntwo\n\n\r\nthree\rx\r\n\0four\0\r\r\nrest\r"

# What of DATA is a line, and what stays behind.
LINES = {
    EVBUFFER_EOL_ANY: ([b"one", b"two", b"three", b"x", b"\0four\0", b"rest"], b""),
    EVBUFFER_EOL_CRLF: ([b"one", b"two", b"", b"", b"three\rx", b"\0four\0\r"], b"rest\r"),
    EVBUFFER_EOL_CRLF_STRICT: ([b"one", b"two\n\n", b"three\rx", b"\0four\0\r"], b"rest\r"),
    EVBUFFER_EOL_LF: ([b"one\r", b"two", b"", b"\r", b"three\rx\r", b"\0four\0\r\r"], b"rest\r"),
    EVBUFFER_EOL_NUL: ([b"one\r\ntwo\n\n\r\nthree\rx\r\n", b"four"], b"\r\r\nrest\r"),
}

styles = pytest.mark.parametrize("eol", LINES, ids=lambda eol: eol.name)


def all_lines(buf, eol):
    found = []
    while (line := buf.readln(eol)) is not None:
        found.append(line)
    return found


def in_pieces(data, add):
    """A buffer in which every byte lies in a segment of its own."""
    buf = Buffer()
    for i in range(len(data)):
        getattr(buf, add)(data[i : i + 1])
    return buf


def test_the_styles_are_the_five_of_libevent():
    assert set(LINES) == set(EolStyle)


@styles
def test_readln_gives_line_after_line(eol):
    buf = Buffer(DATA)
    assert (all_lines(buf, eol), bytes(buf)) == LINES[eol]


@styles
def test_lines_over_many_pieces(eol):
    buf = in_pieces(DATA, "add_reference")
    assert (all_lines(buf, eol), bytes(buf)) == LINES[eol]
    buf = in_pieces(DATA, "add_reference")
    assert (buf.readlines(eol), bytes(buf)) == LINES[eol]


@styles
def test_readlines_is_readln_until_none(eol):
    buf = Buffer(DATA)
    assert (buf.readlines(eol), bytes(buf)) == LINES[eol]
    assert buf.readlines(eol) == []


@styles
@pytest.mark.parametrize("n", range(8))
def test_readlines_takes_at_most_max(eol, n):
    lines, rest = LINES[eol]
    buf = Buffer(DATA)
    assert buf.readlines(eol, n) == lines[:n]
    assert buf.readlines(eol, max=100) == lines[n:]
    assert bytes(buf) == rest


@pytest.mark.parametrize("eol", [s for s in EolStyle if s != EVBUFFER_EOL_ANY])
def test_bytes_that_come_one_by_one_make_the_same_lines(eol):
    buf, found = Buffer(), []
    for i in range(len(DATA)):
        buf.add(DATA[i : i + 1])
        found += all_lines(buf, eol)
    expected = LINES[eol]
    assert (found, bytes(buf)) == expected


def test_any_swallows_what_comes_together():
    buf = Buffer(b"a\r\n\n\r\rb\n\n")
    assert buf.readln(EVBUFFER_EOL_ANY) == b"a"
    assert buf.readln(EVBUFFER_EOL_ANY) == b"b"
    assert buf.readln(EVBUFFER_EOL_ANY) is None
    assert len(buf) == 0


def test_an_empty_line_is_not_none():
    buf = Buffer(b"\n")
    assert buf.readln() == b""
    assert buf.readln() is None


def test_crlf_is_the_default():
    assert Buffer(b"a\r\n").readln() == b"a"
    assert Buffer(b"a\nb\r\n").readlines() == [b"a", b"b"]
    assert Buffer(b"a\r\n").readln(eol=EVBUFFER_EOL_LF) == b"a\r"


def test_an_incomplete_line_stays():
    buf = Buffer(b"par")
    assert buf.readln() is None
    buf.add(b"tial\r")
    assert buf.readln() is None
    buf.add(b"\nnext")
    assert buf.readln() == b"partial"
    assert bytes(buf) == b"next"


def test_the_style_may_change_between_calls():
    buf = Buffer(b"a\0b\nc\0d")
    assert buf.readln(EVBUFFER_EOL_CRLF_STRICT) is None
    assert buf.readln(EVBUFFER_EOL_NUL) == b"a"
    assert buf.readln(EVBUFFER_EOL_LF) == b"b"
    assert buf.readln(EVBUFFER_EOL_LF) is None
    assert buf.readln(EVBUFFER_EOL_NUL) == b"c"


def test_what_is_put_before_the_start_is_searched():
    buf = Buffer(b"abc")
    assert buf.readln() is None
    buf.prepend(b"x\ny")
    assert buf.readln() == b"x"
    assert buf.readln() is None


@pytest.mark.parametrize("length", [0, 1, 63, 1 << 12, 1 << 16, 1 << 20])
def test_long_lines_come_whole(length):
    line = (b"0123456789" * (length // 10 + 1))[:length]
    buf = Buffer()
    for _ in range(3):
        buf.add(line)
        buf.add(b"\r\n")
    assert buf.readln() == line
    assert buf.readlines() == [line, line]
    assert len(buf) == 0


def test_a_line_that_comes_in_pieces_is_not_searched_again():
    """Quadratic searching would take minutes here, and the deadline end it."""
    buf = Buffer()
    piece = bytes(range(14, 78)).replace(b"\n", b".")
    for _ in range((16 << 20) // len(piece)):
        buf.add(piece)
        assert buf.readln() is None
    buf.add(b"\n")
    assert len(buf.readln()) == 16 << 20


@pytest.mark.parametrize("eol", [-1, 5, 1 << 20])
def test_a_style_that_is_none_is_a_value_error(eol):
    buf = Buffer(b"a\n")
    for call in (buf.readln, buf.readlines, lambda eol: buf.search_eol(0, eol)):
        with pytest.raises(ValueError, match="eol"):
            call(eol)
    with pytest.raises(TypeError):
        buf.readln("\n")
    assert bytes(buf) == b"a\n"


def test_lines_are_bytes_of_their_own():
    buf = Buffer(b"a\nb\n")
    line = buf.readln()
    buf.drain()
    buf.add(b"z" * 100)
    assert line == b"a"
    assert type(line) is bytes
