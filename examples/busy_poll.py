"""The ROT13 server that asks every socket all the time. Do not do this.

    python examples/busy_poll.py [--host 127.0.0.1] [--port 40713]

Non-blocking sockets let one process serve many clients: a call that would have to wait says
so at once, and the next socket can be asked. But somebody has to know *when* to ask. Here
nobody does, so all of them are asked, over and over: one system call for each connection in
each round, and a processor at 100 % while nothing happens at all. rot13_select.py asks the
kernel instead which sockets are worth a call.
"""

import argparse
import signal
import socket
import sys

UPPER, LOWER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"
ROT13 = bytes.maketrans(UPPER + LOWER, UPPER[13:] + UPPER[:13] + LOWER[13:] + LOWER[:13])
OUTPUT_MAX = 1 << 20  # bytes that may wait for a client that does not read


class Client:
    """What we know of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.partial = bytearray()  # a line that is not complete yet
        self.output = bytearray()  # answers that the kernel has not taken yet
        self.has_ended = False  # it sends no more

    def poll(self) -> bool:
        """Read and write what can be; False: the connection is over."""
        try:
            if not self.has_ended and len(self.output) <= OUTPUT_MAX:
                self.read()
            if self.output:
                del self.output[: self.sock.send(self.output)]
        except BlockingIOError:
            pass  # EAGAIN is no error: not now
        except OSError:
            return False  # it has vanished
        return bool(self.output) or not self.has_ended

    def read(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        self.has_ended = not data
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            self.output += (self.partial + lines + newline).translate(ROT13)
            self.partial.clear()
        self.partial += rest


def run(listener: socket.socket, must_stop: list[bool]) -> None:
    clients: set[Client] = set()
    while not must_stop:
        try:
            sock, _ = listener.accept()
        except OSError:
            pass  # nobody is there, as a rule; or no descriptor is left: asked again at once
        else:
            sock.setblocking(False)
            clients.add(Client(sock))
        for client in [client for client in clients if not client.poll()]:
            client.sock.close()
            clients.discard(client)
    for client in clients:
        client.sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line with its ROT13.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=40713, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    must_stop: list[bool] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: must_stop.append(True))
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        sys.exit(f"{parser.prog}: {error}")
    with listener:
        listener.setblocking(False)
        print(f"listening on {options.host}:{listener.getsockname()[1]}", flush=True)
        run(listener, must_stop)


if __name__ == "__main__":
    main()
