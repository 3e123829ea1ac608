"""Datagram: batches, boundaries, the bounded queue, errors."""

import errno
import gc
import os
import socket
import sys
import weakref

import pytest

import pyevent
from pyevent import (
    BEV_EVENT_ERROR,
    EV_TIMEOUT,
    RAISE,
    Datagram,
    EventBase,
)


@pytest.fixture
def base(backend):
    with EventBase(backend=backend, exception_handler=RAISE) as base:
        base.once(-1, EV_TIMEOUT, lambda *args: pytest.fail("took too long"), None, 30)
        yield base


def collect(base, messages, count):
    """A read callback that ends the loop when so many messages have come."""

    def read(datagram, batch, arg):
        messages.extend(batch)
        if len(messages) >= count:
            base.loopbreak()

    return read


def test_messages_keep_boundaries_order_and_sender(base):
    messages = []
    near, far = Datagram(base, ("127.0.0.1", 0)), Datagram(base, ("127.0.0.1", 0))
    near.setcb(collect(base, messages, 4))
    sent = [b"one", b"", b"x" * 60000, b"four"]
    for data in sent:
        assert far.send(data, near.address) is True
    assert far.queued == sum(map(len, sent))
    base.dispatch()
    assert messages == [(data, far.address) for data in sent]
    assert far.queued == 0


def test_up_to_64_messages_come_in_one_call(base):
    sizes = []
    near = Datagram(base, ("127.0.0.1", 0))

    def read(datagram, batch, arg):
        assert datagram is near
        assert arg == "arg"
        sizes.append(len(batch))
        if sum(sizes) == 100:
            base.loopbreak()

    near.setcb(read, arg="arg")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        for number in range(100):
            far.sendto(b"%d" % number, near.address)
        base.dispatch()
    assert sizes == [64, 36]


def test_a_reply_from_the_read_callback_is_sent_in_the_same_turn(base):
    near = Datagram(base, ("::1", 0))
    near.setcb(lambda datagram, batch, arg: [datagram.send(*message) for message in batch])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as far:
        far.settimeout(30)
        far.sendto(b"ping", near.address)
        base.loop(pyevent.EVLOOP_ONCE)
        assert far.recv(100) == b"ping"


def test_unix_sockets_by_path(base, tmp_path):
    messages = []
    near = Datagram(base, str(tmp_path / "near"))
    far = Datagram(base, tmp_path / "far")
    near.setcb(collect(base, messages, 1))
    far.send(bytearray(b"hello"), near.address)
    base.dispatch()
    assert messages == [(b"hello", str(tmp_path / "far"))]


def test_the_newest_is_dropped_and_counted_when_the_queue_is_full(base):
    far = Datagram(base, ("127.0.0.1", 0))
    address = far.address
    far.set_queue_max(100)
    assert far.send(b"x" * 60, address)
    assert not far.send(b"x" * 41, address)
    assert far.send(b"x" * 40, address)
    assert (far.queued, far.dropped) == (100, 1)


def test_empty_messages_fill_the_queue_too(base):
    far = Datagram(base, ("127.0.0.1", 0))
    far.set_queue_max(1600)
    results = [far.send(b"", far.address) for _ in range(200)]
    assert 90 <= sum(results) <= 110
    assert far.dropped == 200 - sum(results)


def test_a_refused_message_is_told_to_a_connected_sender(base):
    told = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    far = Datagram(base, ("127.0.0.1", 0))
    far.connect(address)

    def happened(datagram, what, arg):
        told.append((what & BEV_EVENT_ERROR, type(datagram.error), arg))
        base.loopbreak()

    far.setcb(lambda *args: None, happened, "arg")
    far.send(b"anybody there?")
    base.dispatch()
    assert told == [(BEV_EVENT_ERROR, ConnectionRefusedError, "arg")]
    assert not far.closed


def test_what_cannot_be_sent_is_told_dropped_and_the_rest_goes_on(base):
    told, messages = [], []
    near, far = Datagram(base, ("127.0.0.1", 0)), Datagram(base, ("127.0.0.1", 0))
    near.setcb(collect(base, messages, 2))
    far.setcb(None, lambda datagram, what, arg: told.append(datagram.error.errno))
    far.send(b"first", near.address)
    far.send(b"x" * 65530, near.address)  # more than UDP over IPv4 can take
    far.send(b"last", near.address)
    base.dispatch()
    assert [data for data, _ in messages] == [b"first", b"last"]
    assert len(told) == 1
    assert far.dropped == 1


def test_nothing_is_read_without_a_read_callback(base):
    near = Datagram(base, ("127.0.0.1", 0))
    messages = []
    near.setcb(None, lambda *args: None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.sendto(b"wait", near.address)
        base.loop(pyevent.EVLOOP_NONBLOCK)
        near.setcb(collect(base, messages, 1))
        base.dispatch()
    assert [data for data, _ in messages] == [b"wait"]


def test_close_in_its_own_callback(base):
    near = Datagram(base, ("127.0.0.1", 0))
    seen = []

    def read(datagram, batch, arg):
        datagram.send(b"lost", batch[0][1])
        datagram.close()
        seen.append(batch)
        base.loopbreak()

    near.setcb(read)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.sendto(b"x", near.address)
        base.dispatch()
    assert len(seen) == 1
    assert near.closed


class Holder:
    """An object with a descriptor."""

    def __init__(self, sock):
        self.sock = sock

    def fileno(self):
        return self.sock.fileno()


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def new_socket():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@pytest.mark.parametrize("how", ["number", "socket"])
def test_a_descriptor_is_its_own(base, how):
    sock = new_socket()
    number = sock.fileno()
    datagram = Datagram(base, sock if how == "socket" else sock.detach())
    assert sock.fileno() == -1
    assert datagram.fd == number
    assert not os.get_blocking(number)
    datagram.close()
    assert not is_open(number)


def test_of_another_object_it_takes_a_duplicate(base):
    with new_socket() as sock:
        datagram = Datagram(base, Holder(sock))
        number = datagram.fd
        assert number != sock.fileno()
        assert not os.get_inheritable(number)
        datagram.close()
        assert not is_open(number)
        assert is_open(sock.fileno())


def test_without_close_on_free_it_closes_nothing_and_keeps_an_object_alive(base):
    with new_socket() as sock:
        number = Datagram(base, sock.fileno(), 0)
        number.close()
        assert is_open(sock.fileno())
        holder = Holder(sock)
        alive = weakref.ref(holder)
        kept = Datagram(base, holder, 0)
        assert kept.fd == sock.fileno()
        del holder
        gc.collect()
        assert alive() is not None
        kept.close()
        gc.collect()
        assert alive() is None
        assert is_open(sock.fileno())


def test_what_fails_leaves_everything_as_it_was(base, socketpair):
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    stream = socketpair[0]
    reading, writing = os.pipe()
    with open(reading, "rb") as file:
        for given in (stream, stream.fileno(), Holder(stream), file, reading):
            with pytest.raises(OSError, match="rong type|socket"):
                Datagram(base, given)
        assert os.get_blocking(reading)
        assert is_open(stream.fileno())
        assert stream.fileno() != -1
    os.close(writing)
    with new_socket() as sock:
        base.close()
        for given in (sock, sock.fileno(), Holder(sock)):
            with pytest.raises(RuntimeError, match="closed"):
                Datagram(base, given)
        assert is_open(sock.fileno())
        assert os.get_blocking(sock.fileno())
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) <= before


def test_a_stream_is_refused_at_once(base, socketpair):
    for given in (socketpair[0], socketpair[0].fileno()):
        with pytest.raises(OSError, match="rong type") as caught:
            Datagram(base, given)
        assert caught.value.errno == errno.EPROTOTYPE
        assert caught.value.filename is given


@pytest.mark.parametrize("how", ["number", "own"])
def test_one_that_is_dropped_is_closed_with_a_warning(base, how):
    only = [Datagram(base, ("127.0.0.1", 0) if how == "own" else new_socket().detach())]
    number = only[0].fd
    with pytest.warns(ResourceWarning, match="unclosed <Datagram fd="):
        only.clear()
    assert not is_open(number)


def test_bad_arguments_name_themselves(base):
    with pytest.raises(ValueError, match="localhost"):
        Datagram(base, ("localhost", 0))
    with pytest.raises(TypeError, match="callable"):
        Datagram(base, ("127.0.0.1", 0)).setcb(3)
    far = Datagram(base, ("127.0.0.1", 0))
    with pytest.raises(OSError, match="too long"):
        far.send(b"x" * 65537, far.address)
    with pytest.raises(TypeError):
        far.send("text", far.address)
    far.close()
    with pytest.raises(RuntimeError, match="closed"):
        far.send(b"x")


def test_held_by_its_base_while_it_has_callbacks(base):
    before = pyevent.live_allocations()
    far = Datagram(base, ("127.0.0.1", 0))
    alive = weakref.ref(far)
    far.setcb(lambda *args: None, arg=far)
    del far
    gc.collect()
    assert alive() is not None
    alive().setcb()
    gc.collect()
    assert alive() is None
    after = pyevent.live_allocations()
    assert after["stream"] - before["stream"] <= 2  # what the base keeps for all of them


def test_an_exception_goes_to_the_handler_and_the_socket_goes_on(backend):
    failures, messages = [], []
    with EventBase(
        backend=backend, exception_handler=lambda base, context: failures.append(context)
    ) as base:
        near = Datagram(base, ("127.0.0.1", 0))

        def read(datagram, batch, arg):
            messages.extend(batch)
            if len(messages) == 2:
                base.loopbreak()
            raise LookupError("mine")

        near.setcb(read)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.sendto(b"1", near.address)
            base.loop(pyevent.EVLOOP_ONCE)
            far.sendto(b"2", near.address)
            base.dispatch()
    assert [type(context["exception"]) for context in failures] == [LookupError, LookupError]
    assert failures[0]["source"] is near
