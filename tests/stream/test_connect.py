"""Connecting: every kind of address, and every way it fails."""

import errno
import socket

import pytest

from pyevent import (
    BEV_EVENT_CONNECTED,
    BEV_EVENT_ERROR,
    BEV_EVENT_TIMEOUT,
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    EV_READ,
    BufferEvent,
    EventFlag,
)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(params=["ipv4", "ipv6", "unix"])
def server(request, tmp_path, streams):
    """A listening socket that accepts one connection at a time."""
    if request.param == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / "socket"))
    elif request.param == "ipv6":
        if not has_ipv6():
            pytest.skip("this machine has no IPv6")
        sock = socket.socket(socket.AF_INET6)
        sock.bind(("::1", 0))
    else:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
    sock.listen()
    return streams.keep(sock)


@pytest.fixture
def refused():
    """An address where nobody listens, and nobody else will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


def new(base, fd=-1, options=BEV_OPT_CLOSE_ON_FREE):
    """A connection to be, and what its event callback is told."""
    seen = []
    bev = BufferEvent(base, fd, options)
    bev.setcb(
        lambda bev, arg: seen.append(bev.read(100)),
        None,
        lambda bev, what, arg: seen.append(what),
    )
    return bev, seen


def test_connected_is_told_and_then_data_flows(streams, base, server):
    bev, seen = new(base)
    assert bev.fd == -1
    bev.connect(server.getsockname())
    assert bev.fd >= 0
    assert seen == []
    assert "connecting" in repr(bev) or server.family != socket.AF_INET
    bev.enable(EV_READ)
    peer = streams.keep(server.accept()[0])
    peer.setblocking(False)
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_CONNECTED]
    assert "connecting" not in repr(bev)
    assert bev.error is None
    bev.write(b"there")
    assert streams.receive(peer, 5) == b"there"
    peer.send(b"back")
    streams.until(lambda: len(seen) == 2)
    assert seen[1] == b"back"


def test_output_from_before_is_sent_after_connecting(streams, base, server):
    bev, seen = new(base)
    bev.write(b"early ")
    bev.connect(server.getsockname())
    bev.write(b"bird")
    peer = streams.keep(server.accept()[0])
    peer.setblocking(False)
    assert streams.receive(peer, 10) == b"early bird"
    assert seen == [BEV_EVENT_CONNECTED]


@pytest.mark.parametrize("options", [0, BEV_OPT_DEFER_CALLBACKS], ids=["now", "deferred"])
def test_refused_connection_is_an_error_told_by_the_loop(streams, base, refused, options):
    bev, seen = new(base, options=BEV_OPT_CLOSE_ON_FREE | options)
    bev.enable(EV_READ)
    bev.write(b"unheard")
    bev.connect(refused)
    assert seen == []
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_ERROR]
    assert isinstance(bev.error, ConnectionRefusedError)
    assert len(bev.output) == 7
    assert base.dispatch() == 1  # nothing is waited for any more


def test_missing_unix_socket_is_told_by_the_loop(streams, base, tmp_path):
    bev, seen = new(base)
    bev.connect(tmp_path / "nobody")  # any path-like object
    assert seen == []
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_ERROR]
    assert isinstance(bev.error, FileNotFoundError)


def test_failed_connection_can_be_tried_again_elsewhere(streams, base, refused, server):
    bev, seen = new(base)
    bev.connect(refused)
    streams.until(lambda: seen)
    bev.replacefd(-1)
    bev.connect(server.getsockname())
    streams.until(lambda: len(seen) == 2)
    assert seen == [BEV_EVENT_ERROR, BEV_EVENT_CONNECTED]


def test_refused_connection_without_event_callback_closes_itself(streams, base, refused):
    bev, _ = new(base)
    bev.setcb(print)
    bev.connect(refused)
    streams.until(lambda: bev.closed)


def test_own_socket_is_connected(streams, base, server):
    sock = socket.socket(server.family)
    fd = sock.fileno()
    bev, seen = new(base, sock)
    bev.connect(server.getsockname())
    assert bev.fd == fd
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_CONNECTED]


def test_none_waits_for_a_connect_that_is_under_way(streams, base, server):
    sock = socket.socket(server.family)
    sock.setblocking(False)
    assert sock.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
    bev, seen = new(base, sock)
    bev.connect(None)
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_CONNECTED]


def test_connecting_twice_is_refused(streams, base, server):
    bev, seen = new(base)
    bev.connect(server.getsockname())
    with pytest.raises(BlockingIOError, match="already in progress"):
        bev.connect(server.getsockname())
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_CONNECTED]


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (("localhost", 80), ValueError),
        (("127.0.0.1", 65536), ValueError),
        (("127.0.0.1", -1), ValueError),
        (("127.0.0.1",), TypeError),
        (("127.0.0.1", "80"), TypeError),
        (("::1", 1, 2, 3, 4), TypeError),
        ((b"127.0.0.1", 80), TypeError),
        (5, TypeError),
        (["127.0.0.1", 80], TypeError),
        ("x" * 200, ValueError),
    ],
)
def test_what_is_no_address_is_refused(base, address, error):
    bev, seen = new(base)
    with pytest.raises(error):
        bev.connect(address)
    assert bev.fd == -1
    assert base.dispatch() == 1
    assert seen == []


def test_none_needs_a_descriptor(base):
    bev, _ = new(base)
    with pytest.raises(OSError, match="Invalid argument"):
        bev.connect(None)


def test_close_while_connecting_calls_nothing(base, server):
    bev, seen = new(base)
    bev.connect(server.getsockname())
    bev.close()
    assert base.dispatch() == 1
    assert seen == []


def test_write_timeout_limits_connecting(streams, base):
    """A full backlog: the kernel drops the SYN, and the connect stays under way."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(8):
            sock = streams.keep(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
            waiting.append(sock)
        bev, seen = new(base)
        bev.set_timeouts(None, 0.05)
        bev.connect(server.getsockname())
        streams.until(lambda: seen)
    assert len(seen) == 1
    assert seen[0] & BEV_EVENT_TIMEOUT
    assert bev.enabled == EventFlag(0)
