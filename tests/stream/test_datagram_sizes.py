"""Datagram: how long a message may be."""

import errno
import socket
import sys

import pytest

from pyevent import Datagram

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems' limits are lower")


def pair(streams, base):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    streams.keep(far)
    far.setblocking(False)
    got, told = [], []
    datagram = Datagram(base, near)
    datagram.setcb(
        lambda datagram, batch, arg: got.extend(data for data, _ in batch),
        lambda datagram, what, arg: told.append(datagram.error.errno),
    )
    return datagram, far, got, told


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 100_000, 200_000])
def test_a_long_unix_datagram_comes_whole(streams, base, size):
    datagram, far, got, told = pair(streams, base)
    for data in (b"first", b"x" * size, b"last"):
        far.send(data)
        streams.until(lambda data=data: got and got[-1] == data)
    assert [len(data) for data in got] == [5, size, 4]
    assert told == []


@pytest.mark.parametrize("size", [65_536, 65_537, 100_000, 200_000])
def test_a_long_unix_datagram_is_sent_whole(streams, base, size):
    datagram, far, got, told = pair(streams, base)
    assert datagram.send(b"x" * size)
    assert len(streams.receive(far, size)) == size
    assert told == []


def test_what_the_kernel_does_not_take_is_told(streams, base):
    datagram, far, got, told = pair(streams, base)
    assert datagram.send(b"x" * 900_000)
    assert datagram.send(b"short")
    streams.until(lambda: told)
    assert told == [errno.EMSGSIZE]
    assert datagram.dropped == 1
    assert streams.receive(far, 5) == b"short"
    assert not datagram.send(b"x" * 2_000_000)  # more than the queue takes
    with pytest.raises(OSError, match="too long"):
        datagram.send(b"x" * (16 * 2**20 + 1))


def test_udp_messages_have_their_limit(base):
    datagram = Datagram(base, ("127.0.0.1", 0))
    with pytest.raises(OSError, match="too long") as caught:
        datagram.send(b"x" * 65_537, datagram.address)
    assert caught.value.errno == errno.EMSGSIZE


def test_a_message_longer_than_the_slot_is_told_and_the_next_one_comes_whole(streams, base):
    datagram, far, got, told = pair(streams, base)
    SO_SNDBUFFORCE = 32
    try:
        far.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4_000_000)
    except PermissionError:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
    big = b"x" * 1_000_000
    try:
        far.send(big)
    except OSError:
        pytest.skip("the kernel takes no such message here")
    far.send(b"after")
    streams.until(lambda: got)
    assert got == [b"after"]
    assert told == [errno.EMSGSIZE]
    assert datagram.dropped == 1
    far.send(big)
    streams.until(lambda: len(got) == 2)
    assert got[1] == big
