"""Searching, against what bytes.find and regular expressions find."""

import re

import pytest

from pyevent import (
    EVBUFFER_EOL_ANY,
    EVBUFFER_EOL_CRLF,
    EVBUFFER_EOL_CRLF_STRICT,
    EVBUFFER_EOL_LF,
    EVBUFFER_EOL_NUL,
    Buffer,
)

DATA = b"abcabcabd" * 3 + b"\r\n\n" + b"aab" + b"\0" + b"\r\r\nx"

PATTERNS = {
    EVBUFFER_EOL_ANY: rb"[\r\n]+",
    EVBUFFER_EOL_CRLF: rb"\r?\n",
    EVBUFFER_EOL_CRLF_STRICT: rb"\r\n",
    EVBUFFER_EOL_LF: rb"\n",
    EVBUFFER_EOL_NUL: rb"\0",
}


@pytest.fixture(params=[1, 4, 1000], ids=lambda n: f"pieces of {n}")
def buf(request):
    with Buffer() as buffer:
        for i in range(0, len(DATA), request.param):
            buffer.add_reference(DATA[i : i + request.param])
        yield buffer


@pytest.mark.parametrize("what", [b"a", b"abd", b"abcabd", b"x", b"zz", b"", b"dabcabca", DATA])
def test_search_finds_what_bytes_find(buf, what):
    for start in range(len(DATA) + 2):
        assert buf.search(what, start) == DATA.find(what, start)
        for end in range(0, len(DATA) + 2, 3):
            assert buf.search_range(what, start, end) == DATA.find(what, start, end)
    assert bytes(buf) == DATA


@pytest.mark.parametrize("eol", PATTERNS, ids=lambda eol: eol.name)
def test_search_eol_finds_the_first_end_from_there(buf, eol):
    for start in range(len(DATA) + 2):
        found = re.compile(PATTERNS[eol]).search(DATA, start)
        expected = (found.start(), len(found[0])) if found else (-1, 0)
        assert buf.search_eol(start, eol) == expected
    assert bytes(buf) == DATA


def test_search_takes_any_bytes(buf):
    assert buf.search(bytearray(b"abd")) == buf.search(memoryview(b"abd")) == 6


def test_search_in_nothing():
    buf = Buffer()
    assert buf.search(b"x") == -1
    assert buf.search(b"") == 0
    assert buf.search_eol() == (-1, 0)


def test_positions_are_checked(buf):
    for call in (lambda n: buf.search(b"a", n), lambda n: buf.search(b"a", 0, n), buf.search_eol):
        with pytest.raises(ValueError, match="negative"):
            call(-1)
        with pytest.raises(OverflowError):
            call(1 << 80)
        with pytest.raises(TypeError):
            call("1")
