"""The ROT13 server on select(2), from Python's own select module: the baseline.

    python examples/rot13_select.py [--host 127.0.0.1] [--port 40713]

The kernel says which sockets can be read or written, and one process sleeps until one can.
But it is told the whole list in each call, looks at all of it, and answers with a list that
is gone through again: the cost of one message grows with the number of connections, and the
sets end at descriptor 1023. epoll and kqueue keep the list in the kernel; each system has
its own. An event loop, as in rot13_events.py, is one interface over whichever is best.
"""

import argparse
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

UPPER, LOWER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"
ROT13 = bytes.maketrans(UPPER + LOWER, UPPER[13:] + UPPER[:13] + LOWER[13:] + LOWER[:13])
OUTPUT_MAX = 1 << 20  # bytes that may wait for a client that does not read
REST = 0.1  # seconds, when no connection can be accepted


class Client:
    """What we know of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.partial = bytearray()  # a line that is not complete yet
        self.output = bytearray()  # answers that the kernel has not taken yet
        self.has_ended = False  # it sends no more

    def fileno(self) -> int:
        return self.sock.fileno()  # select() takes what has one

    def wants_to_read(self) -> bool:
        return not self.has_ended and len(self.output) <= OUTPUT_MAX

    def is_over(self) -> bool:
        return self.has_ended and not self.output

    def read(self) -> None:
        data = self.sock.recv(65536)
        self.has_ended = not data
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            self.output += (self.partial + lines + newline).translate(ROT13)
            self.partial.clear()
        self.partial += rest

    def write(self) -> None:
        del self.output[: self.sock.send(self.output)]


class Server:
    """The listening socket and its connections."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.clients: set[Client] = set()
        self.rests_until = 0.0
        # A signal that comes right before select() would not wake it: have it write a byte.
        self.wake, self.alarm = socket.socketpair()
        self.alarm.setblocking(False)
        signal.set_wakeup_fd(self.alarm.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: None)

    def run(self) -> None:
        while True:
            reads: list[socket.socket | Client] = [self.wake]
            reads += [client for client in self.clients if client.wants_to_read()]
            writes = [client for client in self.clients if client.output]
            rest = self.rests_until - time.monotonic()
            if rest <= 0:
                reads.append(self.listener)
            readable, writable, _ = select.select(reads, writes, [], rest if rest > 0 else None)
            if self.wake in readable:
                return  # a signal
            if self.listener in readable:
                self.accept()
            for client in readable:
                if isinstance(client, Client):
                    self.attend(client, client.read)
            for client in writable:
                self.attend(client, client.write)

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has left before we came
        except OSError as error:
            # Out of descriptors, as a rule. The connection stays in the queue, and select()
            # would say so again and again: look away for a moment.
            print(f"accept: {error}", file=sys.stderr)
            self.rests_until = time.monotonic() + REST
            return
        if sock.fileno() >= 1024:
            sock.close()  # FD_SETSIZE: select() cannot watch it
            return
        sock.setblocking(False)
        self.clients.add(Client(sock))

    def attend(self, client: Client, method: Callable[[], None]) -> None:
        if client not in self.clients:
            return  # closed earlier in this round
        try:
            method()
        except BlockingIOError:
            return  # EAGAIN is no error: not now
        except OSError:
            self.close(client)  # it has vanished
            return
        if client.is_over():
            self.close(client)

    def close(self, client: Client) -> None:
        client.sock.close()
        self.clients.discard(client)

    def close_all(self) -> None:
        signal.set_wakeup_fd(-1)
        for sock in (self.wake, self.alarm, *(client.sock for client in self.clients)):
            sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line with its ROT13.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=40713, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        sys.exit(f"{parser.prog}: {error}")
    with listener:
        listener.setblocking(False)
        server = Server(listener)
        print(f"listening on {options.host}:{listener.getsockname()[1]}", flush=True)
        server.run()
        server.close_all()


if __name__ == "__main__":
    main()
