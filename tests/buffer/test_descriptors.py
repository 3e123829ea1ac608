"""Reading from and writing to descriptors."""

import os
import select
import signal
import socket
import threading

import pytest

from pyevent import Buffer


def test_a_socket_is_read_into_and_written_from(socketpair):
    near, far = socketpair
    out, back = Buffer(b"hello"), Buffer(b">")
    assert out.write(near) == 5
    assert len(out) == 0
    assert back.read(far) == 5
    assert bytes(back) == b">hello"


def test_an_fd_is_an_int_or_has_a_fileno(socketpair):
    near, far = socketpair
    Buffer(b"ab").write(near.fileno())
    assert Buffer().read(far.fileno(), 1) == 1
    buf = Buffer(b"x")
    for call in (buf.read, buf.write):
        with pytest.raises(TypeError):
            call("0")
        with pytest.raises(ValueError, match="-1"):
            call(-1)


def test_howmuch_limits_one_call(socketpair):
    near, far = socketpair
    out, back = Buffer(b"abcdef"), Buffer()
    assert out.write(near, 4) == 4
    assert out.write_atmost(near, 1) == 1
    assert out.write(near, 0) == 0
    assert bytes(out) == b"f"
    assert back.read(far, 3) == 3
    assert back.read(far, 0) == 0
    assert back.read(far, 100) == 2
    assert bytes(back) == b"abcde"


def test_max_read_limits_one_read(socketpair):
    near, far = socketpair
    near.send(b"x" * 10_000)
    buf = Buffer()
    assert buf.max_read == 4096
    assert buf.read(far) == 4096
    buf.max_read = 100
    assert buf.get_max_read() == buf.read(far) == 100
    for wrong in (0, -1, 1 << 31):
        with pytest.raises(ValueError, match="max_read"):
            buf.set_max_read(wrong)


def test_nothing_to_read_is_a_blocking_io_error(socketpair):
    with pytest.raises(BlockingIOError):
        Buffer().read(socketpair[0])


def test_no_room_to_write_is_a_blocking_io_error_and_loses_nothing(socketpair):
    near, far = socketpair
    data = os.urandom(1 << 20) * 4
    buf, got = Buffer(data), bytearray()
    assert 0 < buf.write(near) < len(data)
    while select.select([], [near], [], 0)[1]:
        buf.write(near)
    with pytest.raises(BlockingIOError):
        buf.write(near)
    while buf or len(got) < len(data):
        got += far.recv(1 << 20)
        if buf:
            buf.write(near)
    assert got == data


def test_the_end_of_the_file_is_0(socketpair):
    near, far = socketpair
    near.close()
    assert Buffer().read(far) == 0


def test_a_peer_that_has_gone_is_a_broken_pipe(socketpair):
    near, far = socketpair
    far.close()
    buf = Buffer(b"x")
    with pytest.raises(BrokenPipeError):
        buf.write(near)
    assert bytes(buf) == b"x"


def test_pipes_and_files_are_written_too(tmp_path):
    r, w = os.pipe()
    try:
        assert Buffer(b"pipe").write(w) == 4
        buf = Buffer()
        assert buf.read(r) == 4
        assert bytes(buf) == b"pipe"
    finally:
        os.close(r)
        os.close(w)
    with (tmp_path / "file").open("wb+") as file:
        assert Buffer(b"file").write(file) == 4
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        assert Buffer().read(file) == 4


def test_a_bad_descriptor_is_an_os_error(socketpair):
    fd = os.dup(0)
    os.close(fd)
    for call in (Buffer().read, Buffer(b"x").write):
        with pytest.raises(OSError, match="Bad file"):
            call(fd)


def test_frozen_ends_are_seen_before_the_descriptor(socketpair):
    near, far = socketpair
    far.send(b"x")
    buf = Buffer(b"y")
    buf.freeze(True)
    buf.freeze(False)
    for call in (buf.read, buf.write):
        with pytest.raises(PermissionError, match="frozen"):
            call(near)
    assert near.recv(10) == b"x"


def test_a_fileno_that_closes_the_buffer_is_noticed(socketpair):
    buf = Buffer(b"x")

    class Closing:
        def fileno(self):
            buf.close()
            return socketpair[0].fileno()

    with pytest.raises(ValueError, match="closed"):
        buf.write(Closing())


def test_a_signal_interrupts_nothing_but_its_handler_runs():
    """PEP 475: a blocking read goes on after the handler, or ends with its exception."""
    near, far = socket.socketpair()
    with near, far:

        def send_then_raise(signum, frame):
            far.send(b"x")

        earlier = signal.signal(signal.SIGALRM, send_then_raise)
        signal.siginterrupt(signal.SIGALRM, True)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            buf = Buffer()
            assert threading.current_thread() is threading.main_thread()
            assert buf.read(near) == 1
            signal.signal(signal.SIGALRM, lambda signum, frame: 1 / 0)
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(ZeroDivisionError):
                buf.read(near)
        finally:
            signal.signal(signal.SIGALRM, earlier)
