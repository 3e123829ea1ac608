"""Connecting by name, and what an error says of it."""

import errno
import os
import socket
import struct
import subprocess
import sys
import textwrap

import pytest

from pyevent import (
    BEV_EVENT_CONNECTED,
    BEV_EVENT_ERROR,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    Listener,
    bufferevent_socket_connect_hostname,
    bufferevent_socket_connect_hostname_hints,
    bufferevent_socket_get_dns_error,
)


@pytest.fixture
def refused():
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def new(base):
    """A connection to be, and what its event callback is told: the flags and the error."""
    seen = []
    bev = BufferEvent(base, -1, BEV_OPT_CLOSE_ON_FREE)
    bev.setcb(None, None, lambda bev, what, arg: seen.append((what, bev.error)))
    return bev, seen


@pytest.fixture
def server(streams):
    return streams.keep(socket.create_server(("127.0.0.1", 0)))


@pytest.mark.parametrize(
    "connect",
    [
        lambda bev, port: bev.connect_hostname("localhost", port, socket.AF_INET),
        lambda bev, port: bev.connect_hostname("localhost", port),
        lambda bev, port: bev.connect_hostname("127.0.0.1", port),
        lambda bev, port: bufferevent_socket_connect_hostname(
            bev, None, socket.AF_INET, "localhost", port
        ),
        lambda bev, port: bufferevent_socket_connect_hostname_hints(
            bev, None, {"family": socket.AF_INET}, "localhost", port
        ),
    ],
    ids=["IPv4", "any", "number", "flat", "hints"],
)
def test_name_is_connected(streams, base, server, connect):
    port = server.getsockname()[1]
    bev, seen = new(base)
    bev.write(b"early")
    connect(bev, port)
    assert seen == []
    assert "connecting" in repr(bev)
    peer = None

    def is_accepted():
        nonlocal peer
        server.setblocking(False)
        try:
            peer = streams.keep(server.accept()[0])
        except BlockingIOError:
            return False
        return True

    streams.until(is_accepted)
    peer.setblocking(False)
    assert streams.receive(peer, 5) == b"early"
    assert seen == [(BEV_EVENT_CONNECTED, None)]
    assert bev.peername == ("127.0.0.1", port)
    assert bev.sockname == peer.getpeername()
    assert bufferevent_socket_get_dns_error(bev) == 0


def test_unknown_name_is_a_gaierror(streams, base):
    bev, seen = new(base)
    bev.connect_hostname("no-such-host.invalid", 80)
    streams.until(lambda: seen)
    ((what, error),) = seen
    assert what == BEV_EVENT_ERROR
    assert isinstance(error, socket.gaierror)
    assert error.filename == "no-such-host.invalid"
    assert error.errno == bev.socket_get_dns_error() != 0
    assert base.dispatch() == 1


def test_error_of_a_name_names_the_address(streams, base, refused):
    bev, seen = new(base)
    bev.write(b"unsent")
    bev.connect_hostname("localhost", refused, socket.AF_INET)
    streams.until(lambda: seen)
    ((what, error),) = seen
    assert what == BEV_EVENT_ERROR
    assert isinstance(error, ConnectionRefusedError)
    assert error.filename == f"127.0.0.1:{refused}"
    refusal = os.strerror(errno.ECONNREFUSED)
    assert error.strerror == f"{refusal}, 6 bytes of output not sent"
    assert bev.peername == ("127.0.0.1", refused)


def test_lookup_under_way_is_no_reason_to_wait_for_close(streams, base):
    bev, seen = new(base)
    bev.connect_hostname("localhost", 9)
    assert base.get_num_events(2) == 1  # virtual: dispatch() does not end over it
    bev.close()
    assert base.get_num_events(2) == 0
    assert base.dispatch() == 1
    assert seen == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("localhost", 0), ValueError),
        (("localhost", 65536), ValueError),
        (("a\0b", 80), ValueError),
        ((b"localhost", 80), TypeError),
        (("localhost", "80"), TypeError),
        (("localhost", 80, socket.AF_UNIX), OSError),
    ],
)
def test_wrong_arguments_are_refused(base, arguments, error):
    bev, seen = new(base)
    with pytest.raises(error):
        bev.connect_hostname(*arguments)
    assert base.dispatch() == 1
    assert seen == []


def test_evdns_base_is_not_there(base):
    bev, _ = new(base)
    with pytest.raises(TypeError, match="evdns_base"):
        bev.socket_connect_hostname(object(), 0, "localhost", 80)
    with pytest.raises(TypeError, match="evdns_base"):
        bev.socket_connect_hostname_hints(object(), None, "localhost", 80)


def test_international_name_is_looked_up_as_ascii(streams, base):
    bev, seen = new(base)
    bev.connect_hostname("bücher.invalid", 80)
    streams.until(lambda: seen)
    assert "xn--bcher-kva.invalid" in str(seen[0][1])


def test_process_with_a_lookup_under_way_ends(tmp_path):
    """Neither the interpreter's end nor a forked child waits for a thread of the pool."""
    program = """
        import os, sys, socket
        from pyevent import *
        server = socket.create_server(("127.0.0.1", 0))
        base = EventBase(exception_handler=RAISE)
        bev = BufferEvent(base, -1, BEV_OPT_CLOSE_ON_FREE)
        seen = []
        bev.setcb(None, None, lambda bev, what, arg: (seen.append(what), base.loopexit()))
        bev.connect_hostname("localhost", server.getsockname()[1], socket.AF_INET)
        pid = os.fork()
        base.dispatch()
        assert seen == [BEV_EVENT_CONNECTED]
        other = BufferEvent(base, -1)
        other.connect_hostname("localhost", 9)
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        base.close()
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n" * 2, "")


def test_reset_connection_names_the_peer_and_what_was_not_sent(streams, base):
    """What the kernel has taken is not claimed: it may or may not have arrived."""
    bev, peer = streams.pair("tcp")
    address = bev.peername
    seen = []
    bev.setcb(None, None, lambda bev, what, arg: seen.append((what, bev.error, len(bev.output))))
    bev.enable(EV_READ)
    bev.write(b"x" * 8_000_000)
    streams.run_ready()
    left = len(bev.output)
    assert 0 < left < 8_000_000
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    streams.until(lambda: seen)
    what, error, waiting = seen[0]
    assert what & BEV_EVENT_ERROR
    assert waiting == left
    assert error.strerror == f"{os.strerror(errno.ECONNRESET)}, {left} bytes of output not sent"
    assert error.filename == f"{address[0]}:{address[1]}"
    assert bev.peername == address


@pytest.mark.parametrize("how", ["socket", "accepted"])
def test_peer_of_an_accepted_connection_survives_it(streams, base, how):
    """Also where the number came straight from a listener."""
    seen = []
    accepted = []

    def serve(listener, fd, address, arg):
        bev = BufferEvent(base, fd if how == "accepted" else socket.socket(fileno=fd), 1)
        bev.setcb(None, None, lambda bev, what, arg: seen.append(bev.error))
        bev.enable(EV_READ)
        accepted.append((bev, address))

    with Listener(base, ("127.0.0.1", 0), serve) as listener:
        client = socket.create_connection(listener.address)
        streams.until(lambda: accepted)
        bev, address = accepted[0]
        assert bev.peername == address == client.getsockname()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        streams.until(lambda: seen)
        assert bev.peername == address
        assert f"{address[0]}:{address[1]}" in str(seen[0])
        bev.close()


def test_addresses_of_unix_sockets(streams, base, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        bev, seen = new(base)
        assert bev.peername is None
        assert bev.sockname is None
        bev.connect(path)
        streams.until(lambda: seen)
        assert bev.peername == path
        assert bev.sockname == ""
    missing, seen = new(base)
    missing.connect(path + "2")
    streams.until(lambda: seen)
    assert seen[0][1].filename == f"{path}2"


def test_pipe_has_no_addresses(base):
    read, write = os.pipe()
    bev = BufferEvent(base, read, BEV_OPT_CLOSE_ON_FREE)
    assert bev.peername is None
    assert bev.sockname is None
    bev.close()
    os.close(write)
