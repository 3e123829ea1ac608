"""Files in buffers: paths, file objects, descriptors, and who closes them."""

import errno
import fcntl
import gc
import io
import os
import resource

import pytest

import pyevent
from pyevent import EVBUF_FS_CLOSE_ON_FREE, EVBUF_FS_DISABLE_MMAP, Buffer, FileSegment

DATA = bytes(range(256)) * 1000

pytestmark = pytest.mark.usefixtures("no_leaked_fds")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("kind", [str, os.fsencode, lambda path: path])
def test_a_path_is_opened_and_closed(path, kind):
    buf = Buffer(b"head ")
    buf.add_file(kind(path))
    path.unlink()
    buf.add(b" tail")
    assert len(buf) == len(DATA) + 10
    assert bytes(buf) == b"head " + DATA + b" tail"
    buf.drain()


def test_a_file_object_may_be_closed_at_once_and_keeps_its_position(path):
    buf = Buffer()
    with path.open("rb") as file:
        file.seek(7)
        buf.add_file(file, 256, 256)
        assert file.tell() == 7
        assert is_open(file.fileno())
    assert buf.remove() == bytes(range(256))


def test_a_descriptor_is_the_buffer_s_to_close(path):
    fd = os.open(path, os.O_RDONLY)
    buf = Buffer()
    buf.add_file(fd, 1, 5)
    assert is_open(fd)
    assert buf.remove(5) == DATA[1:6]
    assert not is_open(fd)


def test_nothing_of_a_descriptor_closes_it_at_once(path):
    fd = os.open(path, os.O_RDONLY)
    Buffer().add_file(fd, 0, 0)
    assert not is_open(fd)


def test_a_callback_that_drains_all_leaves_no_descriptor_open(path):
    fd = os.open(path, os.O_RDONLY)
    buf = Buffer()
    buf.add_cb(lambda buf, change, arg: buf.drain())
    buf.add_file(fd)
    assert not is_open(fd)


def test_a_descriptor_stays_the_caller_s_when_adding_fails(path):
    fd = os.open(path, os.O_RDONLY)
    buf = Buffer()
    buf.freeze(False)
    with pytest.raises(PermissionError, match="frozen"):
        buf.add_file(fd)
    buf.unfreeze(False)
    for offset, length in ((len(DATA) + 1, -1), (0, len(DATA) + 1), (-1, 5), (0, -2)):
        with pytest.raises(ValueError, match=r"inside|negative"):
            buf.add_file(fd, offset, length)
    for n in range(1, 3):
        pyevent._native.core._fail_allocation(n)
        try:
            with pytest.raises(MemoryError):
                buf.add_file(fd)
        finally:
            pyevent._native.core._fail_allocation(0)
    buf.close()
    with pytest.raises(ValueError, match="closed"):
        buf.add_file(fd)
    assert is_open(fd)
    os.close(fd)


def test_what_cannot_be_opened_raises_as_open(tmp_path):
    buf = Buffer()
    closed = open(__file__, "rb")  # noqa: SIM115
    closed.close()
    with pytest.raises(FileNotFoundError, match="nothing"):
        buf.add_file(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        buf.add_file(tmp_path)
    with pytest.raises(ValueError, match="closed file"):
        buf.add_file(closed)
    with pytest.raises(io.UnsupportedOperation):
        buf.add_file(io.BytesIO(b"abc"))
    with pytest.raises(TypeError):
        buf.add_file(None)
    with pytest.raises(ValueError, match="-1"):
        buf.add_file(-1)
    with pytest.raises(TypeError):
        buf.add_file(__file__, "0")
    with pytest.raises(OverflowError):
        buf.add_file(__file__, 1 << 80)
    assert len(buf) == 0


def test_a_fileno_that_closes_the_buffer_is_noticed(path):
    class Closing:
        def fileno(self):
            buf.close()
            return file.fileno()

    buf = Buffer()
    with path.open("rb") as file, pytest.raises(ValueError, match="closed"):
        buf.add_file(Closing())


def test_a_file_goes_to_a_socket(path, socketpair):
    near, far = socketpair
    buf = Buffer(b"<")
    buf.add_file(path, 10, 5000)
    buf.add(b">")
    got = b""
    while buf:
        buf.write(near)
        got += far.recv(1 << 20)
    assert got == b"<" + DATA[10:5010] + b">"


def test_lines_of_a_file_are_found(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\nrest")
    buf = Buffer()
    buf.add_file(path)
    assert buf.find(b"two") == 4
    assert list(buf) == [b"one", b"two"]
    assert buf[:] == b"rest"


LOOKS = {
    "bytes": bytes,
    "index": lambda buf: buf[len(buf) - 1],
    "slice": lambda buf: buf[len(buf) - 10 :],
    "in": lambda buf: b"nowhere" in buf,
    "find": lambda buf: buf.find(b"nowhere"),
    "search": lambda buf: buf.search(b"nowhere"),
    "search_eol": lambda buf: buf.search_eol(1, pyevent.EVBUFFER_EOL_LF),
    "search_eol at the start": Buffer.search_eol,
    "readln": Buffer.readln,
    "readln with a limit": lambda buf: buf.readln(1, len(buf) - 1),
    "readlines": Buffer.readlines,
    "readlines with a limit": lambda buf: buf.readlines(1, -1, len(buf) - 1),
    "next": next,
    "peek": Buffer.peek,
    "pullup": Buffer.pullup,
    "remove": Buffer.remove,
    "copyout": Buffer.copyout,
    "copyout_from": lambda buf: buf.copyout_from(5),
}


@pytest.mark.parametrize("size", [1000, 1_000_000])
@pytest.mark.parametrize("look", LOOKS)
def test_a_file_that_became_shorter_is_an_oserror(tmp_path, look, size):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (size - 1) + b"\r")
    buf = Buffer()
    buf.add_file(path)
    os.truncate(path, 500)
    with pytest.raises(OSError, match=r"Input/output error: <Buffer"):
        LOOKS[look](buf)
    assert len(buf) == size
    os.truncate(path, size)  # and it is there again, with other bytes
    assert len(bytes(buf)) == size


def test_a_file_is_cut_off_while_its_lines_are_taken_out(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a line of a log\n" * 40_000)
    buf = Buffer()
    buf.add_file(path)
    lines = []
    with pytest.raises(OSError, match="Input/output error"):  # noqa: PT012
        for line in buf:
            lines.append(line)
            if len(lines) == 100:
                os.truncate(path, 0)
    assert 100 <= len(lines) < 40_000
    assert set(lines) == {b"a line of a log"}
    buf.drain()
    assert not buf


def test_bytes_that_are_looked_at_stay_when_the_file_is_cut_off(path):
    buf = Buffer()
    buf.add_file(path)
    views = buf.peek()
    os.truncate(path, 0)
    assert b"".join(views) == DATA
    assert max(map(len, views)) == 65536


def test_a_connection_whose_file_was_cut_off_ends_with_an_error(tmp_path, socketpair):
    path = tmp_path / "file"
    path.write_bytes(DATA * 20)
    told = []
    with pyevent.EventBase() as base:
        bev = pyevent.BufferEvent(base, socketpair[0])
        bev.setcb(None, None, lambda bev, what, arg: told.append((what, bev.error)))
        bev.output.add_file(path)
        assert bev.output.search(b"nowhere") == -1
        os.truncate(path, 10)
        while not told:
            base.loop(pyevent.EVLOOP_ONCE)
        bev.close()
    what, error = told[0]
    assert what & pyevent.BEV_EVENT_ERROR
    assert error.errno == errno.EIO


def test_searching_a_large_file_brings_little_of_it_into_memory(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    buf = Buffer()
    buf.add_file(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert buf.find(b"x", 1 << 29) == -1
    assert buf.readln() is None
    assert buf.search_eol(1 << 29) == (-1, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8192
    buf.close()


def test_a_sealed_file_is_looked_at_in_one_piece():
    try:
        fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except (AttributeError, OSError):
        pytest.skip("no sealed files here")
    os.write(fd, DATA)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    buf = Buffer()
    buf.add_file(fd)
    (view,) = buf.peek()
    assert view == DATA
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    view.release()
    assert buf.find(DATA[-300:]) == DATA.find(DATA[-300:])
    buf.drain()


def test_a_pipe_is_refused_and_loses_nothing(tmp_path, socketpair):
    out, into = os.pipe()
    os.write(into, b"piped")
    os.mkfifo(tmp_path / "fifo")
    os.set_blocking(out, False)
    buf = Buffer()
    with open(out, "rb", buffering=0, closefd=False) as file:
        for what in (out, file):
            for length in (-1, 5, 10):
                with pytest.raises(OSError, match=r"only a regular file can be added: ") as raised:
                    buf.add_file(what, 0, length)
                assert raised.value.errno == errno.ESPIPE
            with pytest.raises(OSError, match=r"only a regular file"):
                FileSegment(what, 0, 5, EVBUF_FS_CLOSE_ON_FREE)
    with pytest.raises(OSError, match=r"only a regular file.*fifo"):
        buf.add_file(tmp_path / "fifo")
    with pytest.raises(OSError, match=r"only a regular file"):
        buf.add_file(socketpair[0], 0, 5)
    with pytest.raises(OSError, match=r"only a regular file.*null"):
        buf.add_file("/dev/null", 0, 5)
    assert len(buf) == 0
    assert os.read(out, 100) == b"piped"  # it is still open, too
    os.close(out)
    os.close(into)


def test_numbers_are_what_has_an_index(path):
    class Number:
        def __init__(self, n):
            self.n = n

        def __index__(self):
            return self.n

    buf = Buffer()
    buf.add_file(path, Number(10), Number(5))
    buf.add_file_segment(FileSegment(path, Number(20)), Number(1), Number(5))
    assert bytes(buf) == DATA[10:15] + DATA[21:26]
    for bad in (1.5, "1"):
        with pytest.raises(TypeError):
            buf.add_file(path, bad)
        with pytest.raises(TypeError):
            buf.add_file_segment(FileSegment(path), 0, bad)


# --- segments


def test_a_segment_goes_to_any_number_of_buffers(path):
    first, second = Buffer(), Buffer()
    with FileSegment(path, 100, 1000) as segment:
        first.add_file_segment(segment)
        second.add_file_segment(segment, 10, 5)
        second.add_file_segment(segment, 995, None)
    assert segment.closed
    assert bytes(first) == DATA[100:1100]
    assert bytes(second) == DATA[110:115] + DATA[1095:1100]
    with pytest.raises(ValueError, match="closed"):
        first.add_file_segment(segment)
    with pytest.raises(ValueError, match="closed"):
        segment.__enter__()
    segment.close()


def test_a_segment_s_descriptor_is_closed_when_it_says_so(path):
    fd = os.open(path, os.O_RDONLY)
    FileSegment(fd).close()
    assert is_open(fd)
    buf = Buffer()
    segment = FileSegment(fd, 0, 10, EVBUF_FS_CLOSE_ON_FREE | EVBUF_FS_DISABLE_MMAP)
    buf.add_file_segment(segment)
    del segment
    gc.collect()
    assert is_open(fd)
    assert buf.remove() == DATA[:10]
    assert not is_open(fd)


def test_a_range_outside_the_segment_leaves_it_usable(path):
    segment, buf = FileSegment(path, 0, 10), Buffer()
    for offset, length in ((11, -1), (0, 11), (-1, 1), (0, -5)):
        with pytest.raises(ValueError, match="inside"):
            buf.add_file_segment(segment, offset, length)
    buf.freeze(False)
    with pytest.raises(PermissionError):
        buf.add_file_segment(segment)
    buf.unfreeze(False)
    buf.add_file_segment(segment)
    assert bytes(buf) == DATA[:10]
    with pytest.raises(TypeError):
        buf.add_file_segment(path)


def test_a_segment_is_set_up_once_and_not_copied(path):
    segment = FileSegment(path)
    with pytest.raises(RuntimeError):
        segment.__init__(path)
    with pytest.raises(TypeError):
        segment.__reduce__()
    with pytest.raises(ValueError, match="inside"):
        FileSegment(path, len(DATA) + 1)
    assert FileSegment.__new__(FileSegment).closed
