"""Closing without loss, half-close, files, and what a connection tells of itself."""

import gc
import os
import socket
import weakref

import pytest

from pyevent import (
    BEV_EVENT_EOF,
    BEV_EVENT_READING,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    EV_WRITE,
    Buffer,
    BufferEvent,
)

SIZE = 3_000_000


def never(*args):
    raise AssertionError("called after close_after_flush")


# --- closing -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_close_after_flush_delivers_all(streams, base, kind):
    bev, peer = streams.pair(kind)
    fd = bev.fd
    bev.setcb(never, never, never)
    bev.enable(EV_READ)
    bev.write(b"y" * SIZE)
    peer.send(b"unread input would make TCP reset the connection")
    bev.close_after_flush()
    bev.close_after_flush()
    with pytest.raises(BrokenPipeError):
        bev.write(b"more")
    with pytest.raises(BrokenPipeError):
        bev.write_buffer(Buffer(b"more"))
    assert streams.receive(peer, SIZE) == b"y" * SIZE
    assert streams.receive(peer, 1) == b""
    peer.send(b"nobody reads this")
    streams.run_ready()
    assert not bev.closed
    peer.close()
    assert base.dispatch() == 1
    assert bev.closed
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_close_after_flush_in_a_callback_needs_no_reference(streams, base):
    bev, peer = streams.pair()
    bev.setcb(lambda bev, arg: (bev.write(b"bye"), bev.close_after_flush()))
    bev.enable(EV_READ)
    del bev
    peer.send(b"x")
    assert streams.receive(peer, 10) == b"bye"
    peer.close()
    assert base.dispatch() == 1


def test_file_object_is_kept_until_lingering_ends(streams, base):
    near, peer = streams.sockets()

    class File:
        def fileno(self):
            return near.fileno()

    file = File()
    gone = weakref.ref(file)
    bev = BufferEvent(base, file, options=0)
    bev.write(b"y" * SIZE)
    bev.close_after_flush()
    del bev, file
    gc.collect()
    assert gone() is not None
    assert streams.receive(peer, SIZE + 1) == b"y" * SIZE
    peer.close()
    assert base.dispatch() == 1
    assert gone() is None
    near.close()


@pytest.mark.parametrize("size", [SIZE, 0])
def test_close_after_flush_has_a_time_limit(streams, base, size):
    """Of a peer that takes nothing, and of one that does not end."""
    bev, peer = streams.pair()
    bev.write(b"y" * size)
    bev.close_after_flush(timeout=0.02)
    assert base.dispatch() == 1
    assert bev.closed


def test_slow_peer_outlasts_the_time_limit(streams, base):
    """As long as it takes something."""
    bev, peer = streams.pair()
    bev.write(b"y" * SIZE)
    bev.close_after_flush(timeout=0.05)
    got = 0
    while got < SIZE:
        got += len(streams.receive(peer, 200_000))
        assert not bev.closed
        streams.until(lambda seen=[]: seen or seen.append(1))  # a tick later
    assert streams.receive(peer, 1) == b""


def test_close_and_setcb_end_lingering(streams, base):
    bev, peer = streams.pair()
    bev.write(b"y" * SIZE)
    bev.close_after_flush()
    bev.close()
    assert bev.closed
    bev, peer = streams.pair()
    bev.write(b"y" * SIZE)
    bev.close_after_flush()
    seen = []
    bev.setcb(None, None, lambda bev, what, arg: seen.append(what))
    bev.write(b"z")
    assert streams.receive(peer, SIZE + 1) == b"y" * SIZE + b"z"
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_EOF | BEV_EVENT_READING]
    assert not bev.closed


def test_base_closes_lingering_connections(streams, base):
    bev, peer = streams.pair()
    bev.write(b"y" * SIZE)
    bev.close_after_flush()
    base.close()
    assert bev.closed
    with pytest.raises(RuntimeError):
        bev.close_after_flush()


@pytest.mark.parametrize("timeout", [-1, float("nan"), None, "1"])
def test_wrong_time_limits_are_refused(streams, timeout):
    bev, _ = streams.pair()
    with pytest.raises((ValueError, TypeError)):
        bev.close_after_flush(timeout)
    bev.write(b"still open")


# --- half-close ---------------------------------------------------------------------


def test_shutdown_write_ends_one_direction(streams):
    bev, peer = streams.pair("tcp")
    got = []
    bev.setcb(lambda bev, arg: got.append(bev.read(100)))
    bev.enable(EV_READ)
    bev.write(b"y" * SIZE)
    bev.shutdown_write()
    bev.shutdown_write()
    with pytest.raises(BrokenPipeError):
        bev.write(b"more")
    with pytest.raises(BrokenPipeError):
        bev.write_buffer(Buffer(b"more"))
    assert streams.receive(peer, SIZE + 1) == b"y" * SIZE
    peer.send(b"answer")
    streams.until(lambda: got)
    assert got == [b"answer"]
    assert not bev.closed


# --- writing --------------------------------------------------------------------------


def test_writelines_takes_any_parts(streams):
    bev, peer = streams.pair()
    bev.writelines([b"bytes ", bytearray(b"bytearray "), memoryview(b"view")])
    bev.writelines(b"%d" % i for i in range(3))
    bev.writelines([])
    assert streams.receive(peer, 23) == b"bytes bytearray view012"

    def failing():
        yield b"first"
        raise KeyError

    with pytest.raises(KeyError):
        bev.writelines(failing())
    with pytest.raises(TypeError):
        bev.writelines(["text"])
    assert streams.receive(peer, 5) == b"first"


def test_writelines_of_a_connection_that_its_iterable_closes(streams):
    bev, _ = streams.pair()

    def parts():
        bev.close()
        yield b"too late"

    with pytest.raises(RuntimeError, match="closed"):
        bev.writelines(parts())


def test_sendfile_takes_a_path_a_file_or_a_number(streams, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4000)
    bev, peer = streams.pair("tcp")
    bev.write(b"head ")
    bev.sendfile(path)
    with open(path, "rb") as file:
        bev.sendfile(file, 256, 10)
        bev.sendfile(file.fileno(), offset=1_023_990)
    bev.write(b" tail")
    expected = b"head " + bytes(range(256)) * 4000 + bytes(range(10)) + bytes(range(246, 256))
    assert streams.receive(peer, 1_024_030) == expected + b" tail"


def test_sendfile_refuses_what_is_not_there(streams, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    bev, _ = streams.pair()
    with pytest.raises(FileNotFoundError):
        bev.sendfile(tmp_path / "other")
    with pytest.raises(OSError, match="Invalid"):
        bev.sendfile(path, 5, 6)
    with pytest.raises(ValueError, match="offset=-1"):
        bev.sendfile(path, -1)
    with pytest.raises(ValueError, match="length=-2"):
        bev.sendfile(path, 0, -2)
    with pytest.raises(TypeError):
        bev.sendfile(object())
    assert len(bev.output) == 0


# --- too much output --------------------------------------------------------------------


def test_producer_that_honours_output_high_stays_bounded(streams):
    """To a peer that reads nothing for long, then everything."""
    bev, peer = streams.pair()
    mark, chunk, total = 100_000, 10_000, 4_000_000
    left = total
    paused = False
    most = 0

    def pause(bev, arg):
        nonlocal paused
        assert arg == "arg"
        paused = True

    def produce(bev, arg):
        nonlocal left, paused, most
        paused = False
        while left > 0 and not paused:
            left -= chunk
            bev.write(b"y" * chunk)
            most = max(most, len(bev.output))

    bev.setcb(None, produce, None, "arg")
    bev.set_output_high(mark, pause)
    produce(bev, None)
    streams.run_ready()
    assert paused
    assert left > 0
    assert streams.receive(peer, total) == b"y" * total
    assert left == 0
    assert mark < most <= mark + chunk


def test_output_high_is_told_once_and_can_be_switched_off(streams):
    bev, peer = streams.pair()
    seen = []
    bev.setwatermark(EV_WRITE, 10)
    bev.set_output_high(100, lambda bev, arg: seen.append(len(bev.output)))
    bev.write(b"y" * 100)
    assert seen == []
    bev.write(b"y")
    bev.write(b"y")
    assert seen == [101]
    streams.receive(peer, 102)
    bev.write(b"y" * 200)
    assert seen == [101, 200]
    bev.set_output_high(0, None)
    streams.receive(peer, 200)
    bev.write(b"y" * 200)
    assert len(seen) == 2
    with pytest.raises(TypeError):
        bev.set_output_high(5, "no callback")


def test_connection_with_output_high_goes_when_nobody_has_it(streams):
    bev, _ = streams.pair()
    bev.set_output_high(5, lambda bev=bev, arg=None: bev)  # a cycle
    gone = weakref.ref(bev)
    del bev
    gc.collect()
    assert gone() is None


# --- what it tells ------------------------------------------------------------------------


def test_statistics_count_from_the_first_question(streams):
    bev, peer = streams.pair()
    got = []
    bev.setcb(lambda bev, arg: got.append(bev.read(100)))
    bev.enable(EV_READ)
    bev.write(b"not counted")
    streams.receive(peer, 11)
    assert bev.stats() == {"bytes_read": 0, "bytes_written": 0, "reads": 0, "writes": 0}
    bev.write(b"answer")
    peer.send(b"question")
    streams.until(lambda: got)
    assert bev.stats() == {"bytes_read": 8, "bytes_written": 6, "reads": 1, "writes": 1}


def test_options_are_set_by_name(streams):
    bev, _ = streams.pair("tcp")
    assert bev.get_option("TCP_NODELAY") == 0
    bev.set_option("TCP_NODELAY", True)
    assert bev.get_option("TCP_NODELAY") != 0
    bev.set_option("SO_KEEPALIVE", 1)
    assert bev.get_option("SO_KEEPALIVE") != 0
    bev.set_keepalive(0)
    assert bev.get_option("SO_KEEPALIVE") == 0
    bev.set_keepalive(100)
    assert bev.get_option("SO_KEEPALIVE") != 0
    for name in ("TCP_NOSUCH", "AF_INET", "tcp_nodelay", "socket"):
        with pytest.raises(ValueError, match=name):
            bev.set_option(name, 1)
        with pytest.raises(ValueError, match=name):
            bev.get_option(name)


def test_options_need_a_socket(base):
    bev = BufferEvent(base)
    with pytest.raises(OSError, match="Bad file"):
        bev.set_option("SO_KEEPALIVE", True)
    with pytest.raises(OSError, match="Bad file"):
        bev.get_option("SO_KEEPALIVE")
    with pytest.raises(OSError, match="Bad file"):
        bev.set_keepalive(1)


# --- pairs and filters ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["shutdown_write", "close_after_flush"])
def test_partner_gets_all_and_then_the_end(streams, base, how):
    one, two = BufferEvent.pair(base)
    seen = []
    two.setcb(
        lambda bev, arg: seen.append(bev.read(100)),
        None,
        lambda bev, what, arg: seen.append(what),
    )
    one.write(b"words")
    getattr(one, how)()
    streams.run_ready()
    assert seen == []
    assert not one.closed  # the partner has not read
    two.enable(EV_READ)
    streams.until(lambda: len(seen) == 2)
    assert seen == [b"words", BEV_EVENT_EOF | BEV_EVENT_READING]
    streams.run_ready()
    assert one.closed is (how == "close_after_flush")
    one.close()
    two.close()


def upper(source, destination, limit, mode, arg):
    """A filter that keeps the last byte back until it hears that nothing follows."""
    data = bytes(source)
    if mode != 2 and data:
        data = data[:-1]
    source.drain(len(data))
    destination.add(data.upper())
    return 0 if data else 1


@pytest.mark.parametrize("how", ["shutdown_write", "close_after_flush"])
def test_filter_passes_all_on_and_then_the_end(streams, base, how):
    under, peer = streams.pair()
    filtered = under.filter(None, upper, BEV_OPT_CLOSE_ON_FREE)
    filtered.write(b"y" * SIZE)
    getattr(filtered, how)()
    assert streams.receive(peer, SIZE + 1) == b"Y" * SIZE
    if how == "close_after_flush":
        peer.close()
        assert base.dispatch() == 1
        assert filtered.closed
    filtered.close()
