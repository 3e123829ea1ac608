"""Random operations on several buffers do what they do to bytearrays."""

import os
import re
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyevent import Buffer, EolStyle

ENDS = [rb"[\r\n]+", rb"\r?\n", rb"\r\n", rb"\n", rb"\0"]

sizes = st.one_of(st.integers(0, 20), st.sampled_from([511, 512, 4032, 4096, 5000, 70_000]))
places = st.integers(0, 12000)
anywhere = st.none() | st.integers(-12000, 12000)
which = st.integers(0, 2)
data = st.one_of(
    st.text("ab\r\n\0", max_size=12).map(str.encode),
    st.builds(lambda n, c: (b"lorem ipsum dolor" + c) * n, st.integers(1, 600), st.sampled_from(
        [b"", b"\n", b"\r\n", b"\0", b"\r"]
    )),
)  # fmt: skip


class Model:
    """Three buffers beside three bytearrays; every operation is done to both."""

    def __init__(self):
        self.real = [Buffer() for _ in range(3)]
        self.told = [bytearray() for _ in range(3)]
        self.lengths = [0, 0, 0]  # what the callbacks' counts come to
        for i, buf in enumerate(self.real):
            buf.add_cb(self.changed, i)

    def changed(self, buf, change, i):
        assert change.orig_size == self.lengths[i]
        self.lengths[i] += change.n_added - change.n_deleted

    def add(self, i, data):
        self.real[i].add(data)
        self.told[i] += data

    def add_reference(self, i, data):
        self.real[i].add_reference(data)
        self.told[i] += data

    def add_file(self, i, data, start):
        with tempfile.TemporaryFile() as file:
            file.write(b"." * start + data + b"!")
            file.flush()
            self.real[i].add_file(file, start, len(data))
        self.told[i] += data

    def prepend(self, i, data):
        self.real[i].prepend(data)
        self.told[i][:0] = data

    def reserve(self, i, data):
        room = self.real[i].reserve(len(data) + 1)
        room[: len(data)] = data
        self.real[i].commit(room, len(data))
        self.told[i] += data

    def writelines(self, i, data, size):
        pieces = [data[at : at + size + 1] for at in range(0, len(data), size + 1)]
        self.real[i].writelines(pieces)
        self.told[i] += data

    def slice(self, i, start, stop, step):
        assert self.real[i][start:stop:step] == self.told[i][start:stop:step]

    def find(self, i, what, start, end):
        assert self.real[i].find(what, start, end) == self.told[i].find(what, start, end)

    def remove(self, i, size):
        assert self.real[i].remove(size) == self.told[i][:size]
        del self.told[i][:size]

    def drain(self, i, size):
        self.real[i].drain(size)
        del self.told[i][:size]

    def copyout(self, i, start, size):
        assert self.real[i].copyout_from(start, size) == self.told[i][start : start + size]

    def peek(self, i, start, size):
        assert b"".join(self.real[i].peek(size, start)) == self.told[i][start : start + size]

    def pullup(self, i, size):
        size = min(size, len(self.told[i]))
        assert self.real[i].pullup(size) == self.told[i][:size]

    def add_buffer(self, i, j):
        self.real[i].add_buffer(self.real[j])
        if i != j:
            self.told[i] += self.told[j]
            self.told[j].clear()

    def prepend_buffer(self, i, j):
        self.real[i].prepend_buffer(self.real[j])
        if i != j:
            self.told[i][:0] = self.told[j]
            self.told[j].clear()

    def remove_buffer(self, i, j, size):
        moved = self.told[i][:size] if i != j else b""
        assert self.real[i].remove_buffer(self.real[j], size) == len(moved)
        if i != j:
            self.told[j] += moved
            del self.told[i][:size]

    def take_line(self, i, eol):
        end = re.compile(ENDS[eol]).search(self.told[i])
        if end is None:
            return None
        line = bytes(self.told[i][: end.start()])
        del self.told[i][: end.end()]
        return line

    def readln(self, i, eol):
        assert self.real[i].readln(eol) == self.take_line(i, eol)

    def readlines(self, i, eol, most):
        found = self.real[i].readlines(eol, most)
        assert found == [self.take_line(i, eol) for _ in found]
        if most < 0 or len(found) < most:
            assert self.take_line(i, eol) is None

    def search(self, i, what, start, end):
        assert self.real[i].search(what, start, end) == self.told[i].find(what, start, end)

    def search_eol(self, i, start, eol):
        end = None
        if start <= len(self.told[i]):
            end = re.compile(ENDS[eol]).search(self.told[i], start)
        expected = (-1, 0) if end is None else (end.start(), len(end[0]))
        assert self.real[i].search_eol(start, eol) == expected


eols = st.sampled_from(EolStyle)
steps = st.one_of(
    st.tuples(st.sampled_from(["add", "add_reference", "prepend", "reserve"]), which, data),
    st.tuples(st.just("add_file"), which, data, sizes),
    st.tuples(st.just("add_file"), which, st.just(b"a line\r\n" * 9000), st.integers(0, 20)),
    st.tuples(st.sampled_from(["remove", "drain", "pullup"]), which, sizes),
    st.tuples(st.sampled_from(["copyout", "peek"]), which, places, sizes),
    st.tuples(st.sampled_from(["add_buffer", "prepend_buffer"]), which, which),
    st.tuples(st.just("remove_buffer"), which, which, sizes),
    st.tuples(st.just("writelines"), which, data, sizes),
    st.tuples(st.just("slice"), which, anywhere, anywhere, st.integers(1, 5) | st.integers(-5, -1)),
    st.tuples(st.just("find"), which, data, anywhere, anywhere),
    st.tuples(st.just("readln"), which, eols),
    st.tuples(st.just("readlines"), which, eols, st.integers(-1, 4)),
    st.tuples(st.just("search"), which, data, places, places),
    st.tuples(st.just("search_eol"), which, places, eols),
)


EXAMPLES = 20_000 if os.environ.get("PYEVENT_STRESS") else 300


@pytest.mark.deadline(3600.0 if EXAMPLES > 300 else 60.0)
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(steps, max_size=40))
def test_buffers_do_what_bytearrays_do(steps):
    model = Model()
    for name, *arguments in steps:
        getattr(model, name)(*arguments)
        assert [len(buf) for buf in model.real] == [len(told) for told in model.told]
        assert [len(buf) for buf in model.real] == model.lengths
    for buf, told in zip(model.real, model.told, strict=True):
        assert bytes(buf) == told
        buf.close()
