"""Datagram: receivers that take nothing, sockets that fail again and again. The loop sleeps."""

import errno
import os
import socket
import sys

import pytest

from pyevent import BEV_EVENT_READING, EV_PERSIST, EV_READ, Datagram, Event

IP_RECVERR = 11

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's queues of Unix datagrams")


@pytest.fixture
def receiver(streams, tmp_path):
    """Makes a socket that has a path, and of which nobody reads."""

    def receiver(name):
        sock = streams.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.bind(str(tmp_path / name))
        sock.setblocking(False)
        return sock

    return receiver


@pytest.fixture
def dead(streams):
    """An address at which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()


def run(base, seconds):
    """How many turns the loop has made in that time."""
    before = base.stats()["turns"]
    base.loopexit(seconds)
    base.dispatch()
    return base.stats()["turns"] - before


def read_all(base, sock, got):
    """An event that keeps what comes to the socket."""

    def read(*args):
        try:
            while True:
                got.append(sock.recv(100))
        except BlockingIOError:
            pass

    event = Event(base, sock, EV_READ | EV_PERSIST, read)
    event.add()
    return event


@on_linux
@pytest.mark.parametrize("connected", [False, True])
def test_a_full_receiver_is_waited_for_in_sleep_and_gets_all_in_order(
    streams, base, receiver, tmp_path, connected
):
    full = receiver("full")
    sender = Datagram(base, tmp_path / "sender")
    address = None if connected else full.getsockname()
    if connected:
        sender.connect(full.getsockname())
    sent = [b"%d" % number for number in range(300)]
    base.stats()
    assert all(sender.send(data, address) for data in sent)
    assert run(base, 0.3) < 60
    assert sender.queued > 0
    got = []
    with read_all(base, full, got):
        streams.until(lambda: len(got) == len(sent))
    assert got == sent
    assert (sender.queued, sender.dropped) == (0, 0)


@on_linux
@pytest.mark.parametrize("connected", [False, True])
def test_a_full_receiver_holds_up_nobody_else(streams, base, receiver, tmp_path, connected):
    full, other = receiver("full"), receiver("other")
    sender = Datagram(base, tmp_path / "sender")
    if connected:
        sender.connect(full.getsockname())
    for number in range(100):
        sender.send(b"%d" % number, None if connected else full.getsockname())
    sender.send(b"one", other.getsockname())
    streams.receive(other, 3)
    sender.send(b"two", other.getsockname())  # while the first rests
    assert streams.receive(other, 3) == b"two"
    assert sender.queued > 0


@on_linux
def test_a_full_receiver_holds_half_of_the_queue_at_most(streams, base, receiver, tmp_path):
    told = []
    full, other = receiver("full"), receiver("other")
    sender = Datagram(base, tmp_path / "sender")
    sender.setcb(None, lambda datagram, what, arg: told.append(datagram.error.errno))
    sender.set_queue_max(32_000)
    results = [sender.send(b"x" * 1000, full.getsockname()) for _ in range(40)]
    assert results == [True] * 32 + [False] * 8
    streams.until(lambda: told)
    assert told == [errno.EAGAIN]
    assert sender.queued <= 17_000
    taken = 32 - sender.queued // 1000 - (sender.dropped - 8)
    assert taken > 0  # what the kernel has
    assert not sender.send(b"x" * 1000, full.getsockname())
    assert sender.send(b"y" * 10_000, other.getsockname())
    streams.until(lambda: sender.queued <= 17_000)
    assert len(other.recv(10_000)) == 10_000


@on_linux
def test_a_receiver_that_goes_away_while_it_is_waited_for_is_told(
    streams, base, receiver, tmp_path
):
    told = []
    full = receiver("full")
    sender = Datagram(base, tmp_path / "sender")
    sender.setcb(None, lambda datagram, what, arg: told.append(datagram.error.errno))
    for _ in range(50):
        sender.send(b"x", full.getsockname())
    streams.run_ready()
    left = sender.queued
    assert left > 0
    full.close()
    streams.until(lambda: sender.queued == 0)
    assert sender.dropped == left
    assert set(told) == {errno.ECONNREFUSED}


@on_linux
def test_closing_while_a_receiver_rests(base, receiver, tmp_path):
    full = receiver("full")
    sender = Datagram(base, tmp_path / "sender")
    for _ in range(50):
        sender.send(b"x", full.getsockname())
    base.loopexit(0.01)
    base.dispatch()
    sender.close()
    assert base.dispatch() == 1  # nothing to wait for


@on_linux
def test_an_unread_error_queue_is_emptied_and_told(streams, base, dead):
    told, messages = [], []
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    datagram = Datagram(base, sock)
    datagram.setcb(
        lambda datagram, batch, arg: messages.extend(batch),
        lambda datagram, what, arg: told.append(datagram.error.errno),
    )
    base.stats()
    for _ in range(3):
        datagram.send(b"x", dead)
    streams.until(lambda: told)
    assert run(base, 0.2) < 50
    assert set(told) == {errno.ECONNREFUSED}
    assert len(told) < 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.sendto(b"hello", datagram.address)
        streams.until(lambda: messages)


def test_a_socket_whose_reads_fail_again_and_again_rests(streams, backend, base):
    if backend in ("epoll", "kqueue"):
        pytest.skip("they tell nothing of a closed descriptor")
    told = []
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram = Datagram(base, sock.fileno(), 0)
    datagram.setcb(
        lambda *args: None, lambda datagram, what, arg: told.append((what, datagram.error.errno))
    )
    base.stats()
    base.loopexit(0.01)
    base.dispatch()
    sock.close()
    assert run(base, 0.3) < 50
    assert 0 < len(told) < 20
    assert told[0][0] & BEV_EVENT_READING
    assert told[0][1] == errno.EBADF
    datagram.close()


def test_an_error_callback_that_sends_again_keeps_nobody_from_the_loop(base):
    ticks, errors = [], []
    sender = Datagram(base, ("127.0.0.1", 0))
    address = sender.address

    def again(datagram, what, arg):
        errors.append(datagram.error.errno)
        if len(errors) < 100_000:
            datagram.send(b"x" * 65_530, address)  # longer than UDP takes

    def tick(*args):
        ticks.append(len(errors))
        if len(ticks) == 5:
            base.loopbreak()

    sender.setcb(None, again)
    with Event(base, -1, EV_PERSIST, tick) as timer:
        timer.add(0.001)
        sender.send(b"x" * 65_530, address)
        base.dispatch()
    assert len(ticks) == 5
    assert len(errors) < 100_000
    assert set(errors) == {errno.EMSGSIZE}
    assert sender.dropped == len(errors)


def test_a_number_is_made_non_blocking(streams, base):
    messages = []
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    address = sock.getsockname()
    datagram = Datagram(base, sock.detach())
    assert not os.get_blocking(datagram.fd)
    datagram.setcb(lambda datagram, batch, arg: messages.extend(batch))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.sendto(b"x", address)
        streams.until(lambda: messages)
        os.set_blocking(datagram.fd, True)  # by whoever shares it
        far.sendto(b"y", address)
        streams.until(lambda: len(messages) == 2)
    streams.run_ready()
