"""The example of filters: a compressed tunnel, each of its ends alone and both together."""

import contextlib
import random
import signal
import socket
import threading
import zlib

import pytest

from tests.examples.conftest import PYTHON, ROOT, SECONDS, Client, Server

MIB = 1 << 20


@pytest.fixture
def launch():
    """launch(what, port) starts an end of a tunnel; it must end quietly with status 0."""
    with contextlib.ExitStack() as stack:

        def launch(what, port, complains=False):
            command = [*PYTHON, str(ROOT / "examples/zlib_tunnel.py"), what, "127.0.0.1", str(port)]
            server = stack.enter_context(contextlib.closing(Server(command)))
            if not complains:
                stack.callback(server.stop)
            return server

        yield launch


@pytest.fixture
def target():
    """What the tunnel leads to."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(SECONDS)
        yield sock


def through(tunnel, target):
    near = tunnel.connect()
    far, _ = target.accept()
    far.settimeout(SECONDS)
    return near, far


def packed(text):
    return zlib.compress(text)


def test_near_end_packs_what_is_sent_and_unpacks_the_answer(launch, target):
    near, far = through(launch("pack", target.getsockname()[1]), target)
    text = b"the same line over and over\n" * 10_000
    with near, far:
        near.sendall(text)
        near.shutdown(socket.SHUT_WR)
        wire = Client.receive_all(far)
        assert zlib.decompress(wire) == text
        assert len(wire) < len(text) // 20
        far.sendall(packed(b"answer"))
        far.close()
        assert Client.receive_all(near) == b"answer"


def test_far_end_unpacks_what_comes_and_packs_the_answer(launch, target):
    near, far = through(launch("unpack", target.getsockname()[1]), target)
    with near, far:
        for byte in packed(b"question"):  # however it arrives
            near.send(bytes([byte]))
        near.shutdown(socket.SHUT_WR)
        assert Client.receive_all(far) == b"question"
        far.sendall(b"answer")
        far.close()
        assert zlib.decompress(Client.receive_all(near)) == b"answer"


def test_a_piece_can_be_unpacked_as_soon_as_it_is_there(launch, target):
    near, far = through(launch("pack", target.getsockname()[1]), target)
    unpacker = zlib.decompressobj()
    with near, far:
        for piece in (b"one", b"two", b"three"):
            near.sendall(piece)
            got = b""
            while got != piece:
                got += unpacker.decompress(far.recv(1000))
        far.sendall(packed(b""))  # an end of file without it would be an error


def test_both_ends_together_carry_much_in_both_directions(launch, target):
    far_end = launch("unpack", target.getsockname()[1])
    near_end = launch("pack", far_end.port)
    one = b"".join(b"line %d\n" % i for i in range(500_000))
    two = random.Random(2).randbytes(3 * MIB)
    near, far = through(near_end, target)
    got = []
    with near, far:
        thread = threading.Thread(target=lambda: got.append(Client.exchange(far, two)))
        thread.start()
        assert Client.exchange(near, one) == two
        thread.join()
    assert got == [one]


def test_side_that_does_not_read_holds_the_other_back(launch, target):
    tunnel = launch("unpack", target.getsockname()[1])
    near, far = through(tunnel, target)
    with near, far:
        before = tunnel.private_dirty()
        packer = zlib.compressobj()
        sent = 0  # 200 MB of zeroes, which are 200 kB on the wire
        for _ in range(200):
            piece = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)
            near.sendall(piece)
            sent += MIB
        assert tunnel.private_dirty() - before < 16 * MIB
        near.sendall(packer.flush())
        near.shutdown(socket.SHUT_WR)
        got = 0
        while data := far.recv(MIB):
            got += len(data)
        assert got == sent


@pytest.mark.parametrize(
    "wire",
    [b"no zlib stream", packed(b"cut off" * 1000)[:-5], packed(b"whole") + b"and more"],
    ids=["garbled", "cut off", "too long"],
)
def test_stream_that_makes_no_sense_closes_the_connection(launch, target, wire):
    tunnel = launch("unpack", target.getsockname()[1], complains=True)
    near, far = through(tunnel, target)
    with near, far:
        near.sendall(wire)
        near.shutdown(socket.SHUT_WR)
        far.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            Client.receive_all(near)
        Client.receive_all(far)
    tunnel.send_signal(signal.SIGTERM)
    assert tunnel.wait() == 0
    assert "Protocol error" in tunnel.errors()
