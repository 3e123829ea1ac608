"""Listeners: what they bind to, what they hand on, when they accept."""

import errno
import fcntl
import gc
import os
import socket
import struct
import threading
import weakref
from pathlib import Path

import pytest

import pyevent
from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    LEV_OPT_BIND_IPV4_AND_IPV6,
    LEV_OPT_BIND_IPV6ONLY,
    LEV_OPT_CLOSE_ON_EXEC,
    LEV_OPT_CLOSE_ON_FREE,
    LEV_OPT_DISABLED,
    LEV_OPT_LEAVE_SOCKETS_BLOCKING,
    LEV_OPT_REUSEABLE,
    LEV_OPT_REUSEABLE_PORT,
    BufferEvent,
    Listener,
)

ANY = ("127.0.0.1", 0)


@pytest.fixture
def connect(streams):
    """Connects to a listener; the socket does not block and is closed after the test."""

    def connect(listener):
        address = listener.address
        family = socket.AF_INET6 if isinstance(address, tuple) and len(address) == 4 else None
        if not isinstance(address, tuple):
            family = socket.AF_UNIX
        sock = streams.keep(socket.socket(family or socket.AF_INET))
        sock.connect(address)
        sock.setblocking(False)
        return sock

    return connect


class Accepted(list):
    """A callback that keeps what it is told, as sockets."""

    def __init__(self, streams):
        self.streams = streams

    def __call__(self, listener, fd, address, arg):
        sock = self.streams.keep(socket.socket(fileno=fd))
        self.append((listener, sock, address, arg))


@pytest.fixture
def accepted(streams):
    return Accepted(streams)


def test_callback_gets_listener_descriptor_address_and_arg(streams, base, connect, accepted):
    arg = object()
    listener = Listener(base, ANY, accepted, arg)
    peer = connect(listener)
    streams.until(lambda: accepted)
    ((told, sock, address, told_arg),) = accepted
    assert told is listener
    assert told_arg is arg
    assert address == peer.getsockname()
    assert sock.getpeername() == peer.getsockname()
    assert not os.get_blocking(sock.fileno())
    assert not os.get_inheritable(sock.fileno())


def test_address_is_the_real_one(base, connect):
    listener = Listener(base, ANY)
    host, port = listener.address
    assert host == "127.0.0.1"
    assert port > 0
    assert repr(listener) == f"<Listener fd={listener.fd} address={listener.address!r}>"
    assert listener.fd == listener.get_fd() == listener.fileno()
    assert listener.base is listener.get_base() is base
    connect(listener)


def test_ipv6(streams, base, connect, accepted):
    try:
        listener = Listener(base, ("::1", 0), accepted)
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert listener.address[0] == "::1"
    assert len(listener.address) == 4
    peer = connect(listener)
    streams.until(lambda: accepted)
    assert accepted[0][2] == peer.getsockname()


@pytest.mark.parametrize("make", [str, os.fsencode, Path])
def test_unix_socket(streams, base, connect, accepted, tmp_path, make):
    path = tmp_path / "socket"
    listener = Listener(base, make(path), accepted)
    assert listener.address == str(path)
    connect(listener)
    streams.until(lambda: accepted)
    assert accepted[0][2] == ""  # the peer has no name
    with pytest.raises(OSError, match="in use"):
        Listener(base, path, print)  # a path is not taken over
    listener.close()
    assert path.exists()


def test_abstract_unix_socket(streams, base, accepted):
    name = b"\0pyevent-test-%d-%d" % (os.getpid(), id(base))
    listener = Listener(base, name, accepted)
    assert listener.address == name
    sock = streams.keep(socket.socket(socket.AF_UNIX))
    sock.connect(name)
    streams.until(lambda: accepted)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (("localhost", 80), ValueError),
        (("127.0.0.1", 70000), ValueError),
        (("127.0.0.1",), TypeError),
        ("x" * 200, ValueError),
        (None, TypeError),
        (-1, TypeError),
        (1.5, TypeError),
        ([], TypeError),
    ],
)
def test_what_is_no_address_is_refused(base, address, error):
    with pytest.raises(error):
        Listener(base, address, print)


def test_address_in_use_is_an_error_that_names_it(base):
    listener = Listener(base, ANY)
    with pytest.raises(OSError, match=str(listener.address[1])) as caught:
        Listener(base, listener.address)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.strerror == os.strerror(errno.EADDRINUSE)
    assert caught.value.filename == listener.address


def test_port_can_be_shared(base):
    flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE_PORT
    first = Listener(base, ANY, flags=flags)
    second = Listener(base, first.address, flags=flags)
    assert second.address == first.address


def test_options_reach_the_socket(base):
    with_defaults = Listener(base, ANY)
    bare = Listener(base, ANY, flags=LEV_OPT_CLOSE_ON_FREE)

    def option(listener, level, name):
        with socket.socket(fileno=os.dup(listener.fd)) as sock:
            return sock.getsockopt(level, name)

    def is_inherited(listener):
        return not fcntl.fcntl(listener.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC

    assert option(with_defaults, socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not option(bare, socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not is_inherited(with_defaults)
    assert is_inherited(bare)
    for flag, only in ((LEV_OPT_BIND_IPV6ONLY, 1), (LEV_OPT_BIND_IPV4_AND_IPV6, 0)):
        try:
            both = Listener(base, ("::", 0), flags=LEV_OPT_CLOSE_ON_FREE | flag)
        except OSError:
            continue  # this machine has no IPv6
        assert option(both, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == only


def test_reuse_means_nothing_for_a_path(base, tmp_path):
    with pytest.raises(OSError, match="Invalid argument"):
        Listener(base, tmp_path / "socket", flags=LEV_OPT_REUSEABLE)


def test_accepted_sockets_can_be_left_blocking_and_inheritable(streams, base, connect, accepted):
    flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_LEAVE_SOCKETS_BLOCKING
    listener = Listener(base, ANY, accepted, flags=flags)
    connect(listener)
    streams.until(lambda: accepted)
    sock = accepted[0][1]
    assert os.get_blocking(sock.fileno())
    assert os.get_inheritable(sock.fileno())


# --- sockets from elsewhere -------------------------------------------------------------


@pytest.mark.parametrize("how", ["socket", "number", "listening"])
def test_bound_socket_can_be_given(streams, base, connect, accepted, how):
    sock = socket.socket()
    sock.bind(ANY)
    if how == "listening":  # as a service manager passes it on
        sock.listen()
        listener = Listener(base, sock.detach(), accepted, backlog=0)
    else:
        listener = Listener(base, sock if how == "socket" else sock.detach(), accepted)
    assert sock.fileno() == -1
    fd = listener.fd
    connect(listener)
    streams.until(lambda: accepted)
    listener.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_socket_stays_open_without_close_on_free(base):
    with socket.create_server(ANY) as sock:
        listener = Listener(base, sock, flags=LEV_OPT_CLOSE_ON_EXEC, backlog=0)
        listener.close()
        assert sock.getsockname()


def test_socket_is_kept_alive_without_close_on_free(streams, base, connect, accepted):
    sock = socket.create_server(ANY)
    gone = weakref.ref(sock)
    listener = Listener(base, sock, accepted, flags=0)
    del sock
    gc.collect()
    connect(listener)
    streams.until(lambda: accepted)
    sock = gone()
    listener.close()
    sock.close()
    del sock
    assert gone() is None


def test_flat_names_take_c_s_order(streams, base, connect, accepted):
    first = pyevent.evconnlistener_new_bind(
        base, accepted, "arg", LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, -1, ANY
    )
    second = pyevent.evconnlistener_new(
        base, accepted, "arg", LEV_OPT_CLOSE_ON_FREE, 5, socket.create_server(ANY)
    )
    for listener in (first, second):
        connect(listener)
    streams.until(lambda: len(accepted) == 2)
    assert {(one[0], one[3]) for one in accepted} == {(first, "arg"), (second, "arg")}
    with pytest.raises(TypeError, match=r"an address is \(host, port\) or a path"):
        pyevent.evconnlistener_new_bind(base, accepted, None, 0, -1, 5)


def test_socket_for_datagrams_is_refused(base):
    for backlog in (-1, 0, 5):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            with pytest.raises(OSError, match="not supported") as caught:
                Listener(base, sock, backlog=backlog)
            assert caught.value.errno == errno.EOPNOTSUPP
            assert sock.getsockname()  # it is its owner's still


def test_of_another_object_than_a_socket_it_takes_a_duplicate(streams, base, connect, accepted):
    class Holder:
        def fileno(self):
            return sock.fileno()

    with socket.create_server(ANY) as sock:
        listener = Listener(base, Holder(), accepted, backlog=0)
        assert listener.fd != sock.fileno()
        connect(listener)
        streams.until(lambda: accepted)
        listener.close()
        assert sock.getsockname()


def test_flat_names_keep_the_two_ways_apart(base):
    with pytest.raises(TypeError, match="a bound socket is needed"):
        pyevent.evconnlistener_new(base, None, None, 0, -1, ANY)


@pytest.mark.parametrize("how", ["address", "number"])
def test_one_that_is_dropped_is_closed_with_a_warning(base, how):
    only = [Listener(base, ANY if how == "address" else socket.create_server(ANY).detach())]
    fd = only[0].fd
    with pytest.warns(ResourceWarning, match="unclosed <Listener fd="):
        only.clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


# --- on and off -------------------------------------------------------------------------


def test_disabled_listener_lets_connections_wait(streams, base, connect, accepted):
    listener = Listener(base, ANY, accepted, flags=LEV_OPT_CLOSE_ON_FREE | LEV_OPT_DISABLED)
    connect(listener)
    assert base.dispatch() == 1  # nothing to wait for
    assert accepted == []
    listener.enable()
    streams.until(lambda: len(accepted) == 1)
    listener.disable()
    connect(listener)
    assert base.dispatch() == 1
    assert len(accepted) == 1


def test_without_callback_connections_wait(streams, base, connect, accepted):
    listener = Listener(base, ANY)
    connect(listener)
    assert base.dispatch() == 1
    listener.set_cb(accepted, "later")
    streams.until(lambda: accepted)
    assert accepted[0][3] == "later"
    listener.set_cb(None)
    connect(listener)
    assert base.dispatch() == 1
    assert len(accepted) == 1


def test_callbacks_must_be_callable(base):
    with pytest.raises(TypeError, match="callable or None, not 5"):
        Listener(base, ANY, 5)
    listener = Listener(base, ANY)
    with pytest.raises(TypeError, match="callable or None, not 5"):
        listener.set_cb(5)
    with pytest.raises(TypeError, match="callable or None, not 5"):
        listener.set_error_cb(5)


def test_disable_in_the_callback_holds(streams, base, connect, accepted):
    def accept_one(listener, *args):
        accepted(listener, *args)
        listener.disable()

    listener = Listener(base, ANY, accept_one)
    for _ in range(3):
        connect(listener)
    streams.run_ready()
    assert len(accepted) == 1


def test_close_in_the_callback(streams, base, connect, accepted):
    def accept_and_close(listener, *args):
        accepted(listener, *args)
        listener.close()

    listener = Listener(base, ANY, accept_and_close)
    for _ in range(3):
        connect(listener)
    assert base.dispatch() == 1
    assert len(accepted) == 1
    assert listener.closed


def test_closed_listener(base):
    with Listener(base, ANY, print) as listener:
        fd = listener.fd
    assert listener.closed
    assert repr(listener) == "<Listener closed>"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    listener.close()
    for use in (listener.enable, listener.disable, listener.get_fd, listener.__enter__):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    with pytest.raises(RuntimeError, match="closed"):
        _ = listener.address
    with pytest.raises(RuntimeError, match="closed"):
        listener.set_cb(print)
    assert base.dispatch() == 1


def test_closing_the_base_closes_its_listeners(base):
    listener = Listener(base, ANY, print)
    base.close()
    assert listener.closed
    with pytest.raises(RuntimeError, match="its base is closed"):
        listener.enable()


# --- many -------------------------------------------------------------------------------


def test_crowd_is_served(streams, base):
    """300 connections that come at once, each of which is answered."""

    def serve(listener, fd, address, arg):
        bev = BufferEvent(base, fd, BEV_OPT_CLOSE_ON_FREE)
        bev.setcb(lambda bev, arg: bev.write(bev.read(100)))
        bev.enable(EV_READ)

    listener = Listener(base, ANY, serve, backlog=400)
    address = listener.address
    peers = []

    def crowd():
        for i in range(300):
            sock = streams.keep(socket.create_connection(address, timeout=10))
            sock.send(b"%d" % i)
            peers.append(sock)
        answers = [sock.recv(10) for sock in peers]
        base.loopexit()
        assert answers == [b"%d" % i for i in range(300)]
        peers.append(None)

    thread = threading.Thread(target=crowd)
    thread.start()
    base.dispatch()
    thread.join()
    assert peers[-1] is None


def test_client_that_is_gone_before_it_is_accepted(streams, base, connect, accepted):
    listener = Listener(base, ANY, accepted)
    first = connect(listener)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    second = connect(listener)
    streams.until(lambda: any(one[2] == second.getsockname() for one in accepted))
