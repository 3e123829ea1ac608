"""The server of rot13_bufferevent.py, by hand: sockets, events, and libevent's names.

    python examples/rot13_events.py [--host 127.0.0.1] [--port 40713]

The loop says when a socket can be read or written; reading, writing, keeping what is not
complete and waiting for slow clients is all here. It shows what a BufferEvent does.
"""

import argparse
import signal
import socket
import sys

from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EV_WRITE,
    EventBase,
    event_add,
    event_base_dispatch,
    event_base_free,
    event_base_loopexit,
    event_base_new,
    event_base_once,
    event_del,
    event_free,
    event_new,
    evsignal_new,
)

UPPER, LOWER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"
ROT13 = bytes.maketrans(UPPER + LOWER, UPPER[13:] + UPPER[:13] + LOWER[13:] + LOWER[:13])

INBOX = memoryview(bytearray(65536))  # of all reads: recv(65536) would allocate it each time
OUTPUT_MAX = 1 << 20  # bytes that may wait for a client that does not read
PATIENCE = 60  # seconds, for a client that takes none of the answers that wait for it
REST = 0.1  # seconds, when no connection can be accepted


class Client:
    """What we know of one connection."""

    def __init__(self, server: "Server", sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.partial = bytearray()  # a line that is not complete yet
        self.output = bytearray()  # answers that the kernel has not taken yet
        self.has_ended = False  # it sends no more
        # EV_PERSIST: an event stays added when it fires.
        self.read_event = event_new(server.base, sock, EV_READ | EV_PERSIST, do_read, self)
        self.write_event = event_new(server.base, sock, EV_WRITE | EV_PERSIST, do_write, self)


class Server:
    """The listening socket and its connections."""

    def __init__(self, base: EventBase, host: str, port: int) -> None:
        self.base = base
        self.clients: set[Client] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.create_server((host, port), family=family, backlog=1024)
        self.sock.setblocking(False)
        self.accept_event = event_new(base, self.sock, EV_READ | EV_PERSIST, do_accept, self)
        event_add(self.accept_event)


def client_free(client: Client) -> None:
    # Events go before the descriptor: its number may be another file's at once.
    event_free(client.read_event)
    event_free(client.write_event)
    client.sock.close()
    client.server.clients.discard(client)


def server_free(server: Server) -> None:
    event_free(server.accept_event)
    server.sock.close()
    for client in list(server.clients):
        client_free(client)


def do_accept(fd: int, what: int, server: Server) -> None:
    try:
        sock, _ = server.sock.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return  # the client has left before we came
    except OSError as error:
        # Out of descriptors, as a rule. The connection stays in the queue and would call
        # us again at once, for ever: look away for a moment.
        print(f"accept: {error}", file=sys.stderr)
        event_del(server.accept_event)
        event_base_once(server.base, -1, EV_TIMEOUT, accept_again, server, REST)
        return
    sock.setblocking(False)
    client = Client(server, sock)
    server.clients.add(client)
    event_add(client.read_event)


def accept_again(fd: int, what: int, server: Server) -> None:
    event_add(server.accept_event)


def do_read(fd: int, what: int, client: Client) -> None:
    # Once, not until there is nothing left: the loop calls again for the rest, after the
    # other connections have had their turn.
    try:
        data = bytes(INBOX[: client.sock.recv_into(INBOX)])
    except BlockingIOError:
        return  # EAGAIN is no error: there is nothing to read after all
    except OSError:
        client_free(client)  # reset by the client, as a rule
        return
    if not data:  # end of file
        client.has_ended = True
        event_del(client.read_event)
    lines, newline, rest = data.rpartition(b"\n")
    if newline:
        client.output += (client.partial + lines + newline).translate(ROT13)
        client.partial.clear()
    client.partial += rest
    if newline or client.has_ended:
        do_write(fd, EV_WRITE, client)  # it can be written, as a rule: try before waiting


def do_write(fd: int, what: int, client: Client) -> None:
    if not what & EV_WRITE:
        client_free(client)  # EV_TIMEOUT: it has taken nothing for too long
        return
    if client.output:
        try:
            sent = client.sock.send(client.output)
        except BlockingIOError:
            sent = 0
        except OSError:
            client_free(client)
            return
        del client.output[:sent]
    if client.output:
        event_add(client.write_event, PATIENCE)
        if len(client.output) > OUTPUT_MAX:
            event_del(client.read_event)  # who does not take its answers may not ask for more
    elif client.has_ended:
        client_free(client)
    else:
        event_del(client.write_event)  # an idle socket can be written: it would fire for ever
        event_add(client.read_event)


def do_stop(number: int, what: int, base: EventBase) -> None:
    event_base_loopexit(base)


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line with its ROT13.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=40713, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    base = event_base_new()
    try:
        server = Server(base, options.host, options.port)
    except (OSError, OverflowError) as error:
        event_base_free(base)
        sys.exit(f"{parser.prog}: {error}")
    for number in (signal.SIGINT, signal.SIGTERM):
        event_add(evsignal_new(base, number, do_stop, base))
    print(f"listening on {options.host}:{server.sock.getsockname()[1]}", flush=True)
    event_base_dispatch(base)
    server_free(server)
    event_base_free(base)


if __name__ == "__main__":
    main()
