"""The libevent names are the methods of Buffer; argument for argument as in C."""

import inspect

import pytest

import pyevent
from pyevent import Buffer

C_NAMES = {
    "evbuffer_new": "Buffer",
    "evbuffer_free": "close",
    "evbuffer_reserve_space": "reserve",
    "evbuffer_commit_space": "commit",
    "evbuffer_file_segment_new": "FileSegment",
    "evbuffer_file_segment_free": "FileSegment.close",
}


def test_each_name_is_a_method_of_buffer():
    names = [name for name in pyevent.__all__ if name.startswith("evbuffer_")]
    assert len(names) >= 44
    for name in names:
        method = C_NAMES.get(name, name.removeprefix("evbuffer_"))
        owner, _, method = method.rpartition(".")
        owner = getattr(pyevent, owner) if owner else Buffer
        expected = getattr(pyevent, method) if method[0].isupper() else getattr(owner, method)
        assert getattr(pyevent, name) == expected, name


@pytest.mark.parametrize("cls", [Buffer, pyevent.FileSegment, pyevent.BufferCallback])
def test_every_method_has_a_signature(cls):
    for name in dir(cls):
        method = getattr(cls, name)
        if not name.startswith("_") and callable(method):
            assert "self" in inspect.signature(method).parameters, name
    assert str(inspect.signature(Buffer.readln)) == "(self, /, eol=1, max_line=-1)"
    assert pyevent.EVBUFFER_EOL_CRLF == 1


def test_a_subclass_s_override_is_not_seen_through_them():
    class Loud(Buffer):
        def remove(self, size=None):
            return b"override"

    assert pyevent.evbuffer_remove(Loud(b"abc"), 2) == b"ab"


def test_the_seeds_way_of_reading_lines():
    buf = pyevent.evbuffer_new()
    pyevent.evbuffer_add(buf, b"one\r\ntwo\nthr")
    found = []
    while (line := pyevent.evbuffer_readln(buf, pyevent.EVBUFFER_EOL_LF)) is not None:
        found.append(line)
    assert found == [b"one\r", b"two"]
    assert pyevent.evbuffer_get_length(buf) == 3
    pyevent.evbuffer_free(buf)
    assert buf.closed


def test_they_take_buffers_only():
    for call in (pyevent.evbuffer_readln, pyevent.evbuffer_get_length, pyevent.evbuffer_free):
        with pytest.raises(TypeError):
            call(b"abc")
