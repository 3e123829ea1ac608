"""Bytes arrive complete and in order, whatever their number and the peer's pace."""

import hashlib
import os
import random
import socket
import threading

import pytest

from pyevent import BEV_EVENT_EOF, BEV_OPT_CLOSE_ON_FREE, EV_READ, EV_WRITE, BufferEvent

KINDS = ["unix", "tcp"]


def pieces(data, seed):
    """`data` in pieces of 1 to 200,000 bytes, small ones more often."""
    lots = random.Random(seed)
    at = 0
    while at < len(data):
        size = int(10 ** lots.uniform(0, 5.3))
        yield data[at : at + size]
        at += size


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_at_once(streams, base, kind):
    near, far = streams.sockets(kind)
    streams.opened.remove(far)
    ends = [BufferEvent(base, sock, BEV_OPT_CLOSE_ON_FREE) for sock in (near, far)]
    data = [os.urandom(3_000_000), os.urandom(3_000_000)]
    got = [bytearray(), bytearray()]
    todo = [pieces(data[0], 1), pieces(data[1], 2)]

    def readable(bev, i):
        got[i] += bev.read(len(bev.input))

    def writable(bev, i):
        bev.write(next(todo[i], b""))

    for i, bev in enumerate(ends):
        bev.setcb(readable, writable, arg=i)
        bev.enable(EV_READ | EV_WRITE)
    streams.until(lambda: len(got[0]) + len(got[1]) == 6_000_000)
    assert digest(got[0]) == digest(data[1])
    assert digest(got[1]) == digest(data[0])


@pytest.mark.parametrize("kind", KINDS)
def test_echo_of_a_flood(streams, base, kind):
    """The peer writes and reads in threads of its own; the loop only echoes."""
    bev, peer = streams.pair(kind)
    peer.settimeout(20)
    data = os.urandom(4_000_000)
    got = bytearray()

    def read():
        while len(got) < len(data):
            got.extend(peer.recv(65536))
        base.loopexit()

    bev.setcb(lambda bev, arg: bev.write_buffer(bev.input))
    bev.enable(EV_READ)
    threads = [threading.Thread(target=read), threading.Thread(target=peer.sendall, args=(data,))]
    for thread in threads:
        thread.start()
    base.dispatch()
    for thread in threads:
        thread.join()
    assert digest(got) == digest(data)


@pytest.mark.parametrize("kind", KINDS)
def test_slow_peer_gets_all_in_partial_writes(streams, kind):
    near, peer = streams.sockets(kind)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
    bev = BufferEvent(streams.base, near, BEV_OPT_CLOSE_ON_FREE)
    data = os.urandom(2_000_000)
    sizes = []
    seen = []
    bev.setcb(writecb=lambda bev, arg: seen.append(len(bev.output)))
    bev.write(data)
    streams.run_ready()
    assert 0 < len(bev.output) < len(data)
    assert seen == []
    got = bytearray()
    while len(got) < len(data):
        got += streams.receive(peer, min(30_000, len(data) - len(got)))
        sizes.append(len(bev.output))
    streams.until(lambda: seen)
    assert digest(got) == digest(data)
    assert seen == [0]
    assert len(set(sizes)) > 3  # it went a part at a time


def test_output_added_while_some_is_stuck_follows_in_order(streams):
    bev, peer = streams.pair()
    expected = bytearray()
    for i in range(200):
        part = b"%d " % i * 5000
        bev.write(part)
        expected += part
        streams.run_ready()
    assert digest(streams.receive(peer, len(expected))) == digest(expected)


def test_one_byte_at_a_time(streams):
    bev, peer = streams.pair()
    lines = []

    def readable(bev, arg):
        while (line := bev.input.readln()) is not None:
            lines.append(line)

    bev.setcb(readable)
    bev.enable(EV_READ)
    text = b"GET / HTTP/1.0\r\nHost: here\r\n\r\n"
    for i in range(len(text)):
        peer.send(text[i : i + 1])
        streams.run_ready()
    assert lines == [b"GET / HTTP/1.0", b"Host: here", b""]
    assert len(bev.input) == 0


def test_largest_read_and_write_are_kept(streams):
    bev, peer = streams.pair("records")
    assert bev.get_max_single_read() == bev.get_max_single_write() == 16384
    bev.set_max_single_write(1000)
    assert bev.get_max_single_write() == 1000
    bev.write(b"x" * 2500)
    streams.until(lambda: len(bev.output) == 0)
    assert [len(peer.recv(5000)) for _ in range(3)] == [1000, 1000, 500]
    bev.set_max_single_write(0)
    assert bev.get_max_single_write() == 16384


def test_largest_read_splits_the_input(streams):
    bev, peer = streams.pair()
    sizes = []
    bev.set_max_single_read(700)
    assert bev.get_max_single_read() == 700
    bev.setcb(lambda bev, arg: sizes.append(len(bev.read(10000))))
    bev.enable(EV_READ)
    peer.send(b"x" * 2000)
    streams.until(lambda: sum(sizes) == 2000)
    assert sizes == [700, 700, 600]


@pytest.mark.parametrize("kind", KINDS)
def test_half_closed_peer_gets_everything(streams, kind):
    """It sends a megabyte, shuts its side down, and then reads the answer at leisure."""
    bev, peer = streams.pair(kind)
    peer.settimeout(20)
    data = os.urandom(1_000_000)
    got = bytearray()
    seen = []

    def send():
        peer.sendall(data)
        peer.shutdown(1)
        while part := peer.recv(10_000):
            got.extend(part)

    def happened(bev, what, arg):
        seen.append(what)
        if len(bev.output) == 0:
            bev.close()
        else:
            bev.setcb(None, lambda bev, arg: bev.close(), happened)

    bev.setcb(lambda bev, arg: bev.write(bev.read(1 << 20)), None, happened)
    bev.enable(EV_READ)
    thread = threading.Thread(target=send)
    thread.start()
    streams.until(lambda: bev.closed)
    thread.join()
    assert digest(got) == digest(data)
    assert seen[0] & BEV_EVENT_EOF
