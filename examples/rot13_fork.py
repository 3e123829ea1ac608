"""The ROT13 server with a process per connection: blocking calls, many of them at once.

    python examples/rot13_fork.py [--host 127.0.0.1] [--port 40713]

The simplest way to serve several clients: each has a process that may wait for it. The code
of one connection is as plain as that of a client. What it costs is a process for each: a
fork per connection, megabytes of memory, and the scheduler's time when there are thousands.
And they share nothing: what one client says, another's process does not know.
"""

import argparse
import contextlib
import os
import signal
import socket
import sys
import time

UPPER, LOWER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"
ROT13 = bytes.maketrans(UPPER + LOWER, UPPER[13:] + UPPER[:13] + LOWER[13:] + LOWER[:13])

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
REST = 0.1  # seconds, when there are too many files or processes


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
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # the parent's handlers are not for us
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    listener.close()
    with contextlib.suppress(OSError):  # the client has vanished
        serve(sock)
    sock.close()


def accept(listener: socket.socket) -> socket.socket:
    """Waits for a client. Only here may a signal end the server, between two connections."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    try:
        return listener.accept()[0]
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def reap(children: set[int]) -> None:
    """Children that have ended remain as zombies until somebody asks for their status."""
    while children:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        children.discard(pid)


def run(listener: socket.socket, children: set[int]) -> None:
    while True:
        reap(children)
        try:
            sock = accept(listener)
        except ConnectionAbortedError:
            continue  # it has left before we came
        except OSError as error:
            print(f"accept: {error}", file=sys.stderr)
            time.sleep(REST)
            continue
        with sock:  # the child has its own copy
            try:
                pid = os.fork()
            except OSError as error:
                print(f"fork: {error}", file=sys.stderr)
                time.sleep(REST)
                continue
            if pid == 0:
                status = 1
                try:
                    child(listener, sock)
                    status = 0
                finally:
                    os._exit(status)  # and nothing of the parent's is run twice
            children.add(pid)


def stop_children(children: set[int]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGTERM)  # not waited for yet, so the number is still its own
    for pid in children:
        os.waitpid(pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line with its ROT13.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=40713, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        sys.exit(f"{parser.prog}: {error}")
    with listener:
        print(f"listening on {options.host}:{listener.getsockname()[1]}", flush=True)
        children: set[int] = set()
        with contextlib.suppress(Stop):
            run(listener, children)
        stop_children(children)


if __name__ == "__main__":
    main()
