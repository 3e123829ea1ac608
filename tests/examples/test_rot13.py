"""What every ROT13 server does for its clients: the examples and the C program alike."""

import contextlib
import functools
import random
import socket

import pytest

MIB = 1 << 20


@functools.cache
def lines_of(size, seed=1):
    """Lines of all lengths, `size` bytes of them."""
    rng = random.Random(seed)
    letters = bytes(rng.choices(range(65, 91), k=6000))
    data = bytearray()
    while len(data) < size:
        length, at = rng.choice([0, 1, 20, 80, 5000]), rng.randrange(1000)
        data += letters[at : at + length] + b"\n"
    return bytes(data[: size - 1]) + b"\n"


def test_a_line_is_answered_with_its_letters_turned(server, client):
    with server.connect() as sock:
        sock.sendall(b"Hello, World!\n")
        assert client.receive(sock, 14) == b"Uryyb, Jbeyq!\n"


def test_only_letters_are_changed(server, client):
    other = bytes(byte for byte in range(256) if byte != 10)
    with server.connect() as sock:
        client.ask(sock, other + b"\r\n\n\n")


def test_a_line_may_come_byte_by_byte(server, client):
    with server.connect() as sock:
        for byte in b"Hello, World!\n":
            sock.sendall(bytes([byte]))
        assert client.receive(sock, 14) == b"Uryyb, Jbeyq!\n"


def test_a_partial_line_waits_for_its_end(server, client):
    with server.connect() as sock, server.connect() as other:
        client.ask(sock, b"first\n")
        sock.sendall(b"second\nthi")
        assert client.receive(sock, 7) == b"frpbaq\n"
        client.ask(other, b"the server has seen what came before this\n")
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.settimeout(30)
        sock.sendall(b"rd\n")
        assert client.receive(sock, 6) == b"guveq\n"


@pytest.mark.parametrize("size", [16383, 16384, 16385, MIB - 1, 5 * MIB + 1])
def test_a_line_of_any_length_comes_back_whole(server, client, size):
    if size > MIB and server.name == "bufferevent":
        pytest.skip("its limit is 1 MiB")
    with server.connect() as sock:
        line = b"x" * (size - 6) + b"Wombat" + b"\n"
        assert client.exchange(sock, line) == client.rot13(line)


def test_a_connection_with_a_limit_ends_at_a_line_that_exceeds_it(server):
    if server.name != "bufferevent":
        pytest.skip("it has none")
    with server.connect() as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"x" * (2 * MIB))
        with contextlib.suppress(ConnectionError):
            assert sock.recv(1) == b""


def test_many_lines_in_one_piece_are_answered_in_order(server, client):
    data = lines_of(60000)
    with server.connect() as sock:
        client.ask(sock, data)


@pytest.mark.parametrize("size", [MIB, 8 * MIB])
def test_who_ends_its_sending_side_gets_every_answer(server, client, size):
    data = lines_of(size)
    with server.connect() as sock:
        assert client.exchange(sock, data) == client.rot13(data)


def test_who_reads_only_after_the_end_gets_every_answer(server, client):
    data = lines_of(MIB)
    with server.connect() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert client.receive_all(sock) == client.rot13(data)


def test_what_is_not_a_complete_line_at_the_end_gets_no_answer(server, client):
    with server.connect() as sock:
        assert client.exchange(sock, b"complete\nnot so") == b"pbzcyrgr\n"
    with server.connect() as sock:
        assert client.exchange(sock, b"not so") == b""


def test_who_says_nothing_is_let_go(server, client):
    with server.connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        assert client.receive_all(sock) == b""


@pytest.mark.parametrize("said", [b"", b"in the middle of a li", b"a line\n", lines_of(MIB // 4)])
def test_clients_that_vanish_leave_nothing_behind(server, client, said):
    for _ in range(20):
        sock = server.connect()
        with contextlib.suppress(BlockingIOError):
            sock.setblocking(False)
            sock.send(said)
        client.reset(sock)
    for _ in range(5):
        sock = server.connect()
        sock.sendall(said)
        sock.close()  # a FIN, or a RST where answers were not read
    server.wait_until_idle()
    with server.connect() as sock:
        client.ask(sock, b"still there\n")


def fill(sock, other, client, data):
    """Send `data` again and again and read nothing, until the server takes no more of it.

    `other` asks a line in between: it is answered, and the server has had time to read on.
    """
    sent = refusals = 0
    sock.setblocking(False)
    while refusals < 50 and sent < 100 * MIB:
        at = sent % len(data)
        try:
            sent += sock.send(data[at:])
            refusals = 0
        except BlockingIOError:
            refusals += 1
            client.ask(other, b"and who answers me?\n")
    return sent


def test_who_never_reads_is_not_read_from_and_costs_no_memory(server, client):
    """The client's question stays with the client: neither memory nor the others suffer."""
    data = lines_of(MIB)
    before = server.private_dirty()
    with server.connect() as other:
        sock = server.connect()
        sent = fill(sock, other, client, data)
        assert sent < 100 * MIB
        assert server.private_dirty() - before < 8 * MIB
        client.reset(sock)
        client.ask(other, b"and now?\n")


def test_who_reads_late_gets_every_answer(server, client):
    data = lines_of(MIB)
    with server.connect() as sock, server.connect() as other:
        sent = fill(sock, other, client, data)
        rest = data[sent % len(data) :]
        expected = client.rot13(data * (sent // len(data) + 1))
        assert client.exchange(sock, rest) == expected


def test_who_ends_and_reads_slowly_gets_every_answer(server, client):
    data = lines_of(MIB)
    with server.connect(rcvbuf=4096) as sock, server.connect() as other:
        sent = fill(sock, other, client, data)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(30)
        expected = client.rot13(data * (sent // len(data) + 1))[:sent]
        expected = expected[: expected.rfind(b"\n") + 1]
        for at in range(0, len(expected), MIB // 4):
            part = expected[at : at + MIB // 4]
            assert client.receive(sock, len(part)) == part
            client.ask(other, b"has it read on?\n")
        assert client.receive_all(sock) == b""
