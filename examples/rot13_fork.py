"""The ROT13 server with a process per connection: blocking calls, many of them at once.

    python examples/rot13_fork.py [--host 127.0.0.1] [--port 40713]

The simplest way to serve several clients: each has a process that may wait for it. The code
of one connection is as plain as that of a client. What it costs is a process for each: a
fork per connection, megabytes of memory, and the scheduler's time when there are thousands.
"""

import argparse
import os
import signal
import socket
import sys

UPPER, LOWER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"
ROT13 = bytes.maketrans(UPPER + LOWER, UPPER[13:] + UPPER[:13] + LOWER[13:] + LOWER[:13])


class Stop(Exception):
    """A signal asks the server to end."""


def stop(number: int, frame: object) -> None:
    raise Stop


def serve(sock: socket.socket) -> None:
    partial = bytearray()  # a line that is not complete yet
    while data := sock.recv(65536):
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            # Waits for a slow client, which is nobody else's loss.
            sock.sendall((partial + lines + newline).translate(ROT13))
            partial.clear()
        partial += rest


def child(listener: socket.socket, sock: socket.socket) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # the parent's handlers are not for us
    listener.close()
    try:
        serve(sock)
    except OSError:
        pass  # the client has vanished
    sock.close()


def run(listener: socket.socket) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except ConnectionAbortedError:
            continue  # it has left before we came
        with sock:  # the child has its own copy
            if os.fork() == 0:
                status = 1
                try:
                    child(listener, sock)
                    status = 0
                finally:
                    os._exit(status)  # and nothing of the parent's is run twice


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line with its ROT13.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=40713, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        listener = socket.create_server((options.host, options.port), backlog=1024)
    except OSError as error:
        sys.exit(f"{parser.prog}: {error}")
    with listener:
        print(f"listening on {options.host}:{listener.getsockname()[1]}", flush=True)
        try:
            run(listener)
        except Stop:
            pass


if __name__ == "__main__":
    main()
