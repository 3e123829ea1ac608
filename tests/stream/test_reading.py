"""read() gives bytes that have come, or raises; never others."""

import os

import pytest

from pyevent import EV_READ, BufferEvent


@pytest.fixture
def filled(streams, base):
    """A connection whose input holds so many dots."""

    def make(n):
        bev, peer = streams.pair()
        bev.setcb(lambda *args: None)
        bev.enable(EV_READ)
        peer.send(b"." * n)
        streams.until(lambda: len(bev.input) == n)
        return bev

    return make


def test_read_of_a_frozen_input_raises_and_takes_nothing(filled):
    bev = filled(900)
    bev.input.freeze(True)
    for n in (1, 900, 2000):
        with pytest.raises(PermissionError):
            bev.read(n)
        with pytest.raises(PermissionError):
            bev.input.remove(n)
    assert bev.read(0) == b""
    bev.input.unfreeze(True)
    assert bev.read(1000) == b"." * 900


def test_read_while_a_view_holds_the_input_raises_and_takes_nothing(filled):
    bev = filled(900)
    with bev.input.pullup(), pytest.raises(BufferError):
        bev.read(5)
    assert bev.read(900) == b"." * 900


def test_read_of_a_file_that_became_shorter_gives_no_other_bytes(streams, base, tmp_path):
    path = tmp_path / "file"
    for left in (0, 10, 899):
        first, second = BufferEvent.pair(base)
        path.write_bytes(b"f" * 900)
        first.sendfile(path)
        second.enable(EV_READ)
        second.setcb(lambda *args: None)
        streams.run_ready()
        assert len(second.input) == 900
        os.truncate(path, left)
        for n in (900, 5000):
            try:
                got = second.read(n)
            except OSError:
                continue
            assert set(got) <= {ord("f")}
            assert len(got) <= left
        second.close()


def test_sendfile_of_a_stream_is_refused_at_once(streams, base, tmp_path):
    bev, peer = streams.pair()
    os.mkfifo(tmp_path / "fifo")
    reading, writing = os.pipe()
    os.write(writing, b"not to be lost")
    for stream in (tmp_path / "fifo", reading, peer, "/dev/zero"):
        with pytest.raises(OSError, match="stream of bytes"):
            bev.sendfile(stream)
    assert os.read(reading, 100) == b"not to be lost"
    assert len(bev.output) == 0
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("mode", [-1, 3, 1 << 20])
def test_flush_in_a_mode_that_there_is_not_is_refused(streams, base, mode):
    bev, _ = streams.pair()
    over = bev.filter()
    for one in (bev, over, BufferEvent.pair(base)[0]):
        with pytest.raises(ValueError, match="mode must be"):
            one.flush(EV_READ, mode)


def test_event_that_is_triggered_by_hand_has_no_error_of_another_call(streams, base):
    bev, _ = streams.pair()
    seen = []
    bev.setcb(eventcb=lambda bev, what, arg: seen.append(bev.error))
    with pytest.raises(FileNotFoundError):
        os.stat("/there/is/nothing")
    bev.trigger_event(0x20)
    assert seen == [None]
