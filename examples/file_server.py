"""Sends files: a client sends a name and a newline, and gets the file.

    python examples/file_server.py --port 4001 --rate 1000000 DIRECTORY
    printf 'README.md\n' | nc 127.0.0.1 4001

The answer is "size SIZE" and a newline, then the bytes, or "error" and why. The file's bytes go
from the page cache to the socket (sendfile): this process never sees them, and a file of any size
costs it nothing but a descriptor. One request is served at a time for each client; --rate limits
the bytes that each gets in a second.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from pyevent import (
    BEV_EVENT_EOF,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    EVBUFFER_EOL_LF,
    BufferEvent,
    Event,
    EventBase,
    Listener,
    RateLimit,
)

NAME_MAX = 4096  # bytes
TICKS = 20  # in a second: how evenly the rate is kept
PATIENCE = 60  # seconds, for a client that asks for nothing, or takes nothing


class Client(BufferEvent):
    """One connection."""

    directory: Path
    has_ended = False

    def on_read(self) -> None:
        line = self.input.readln(EVBUFFER_EOL_LF)
        if line is None:
            if len(self.input) > NAME_MAX:
                self.close()
            return
        self.disable(EV_READ)  # until on_write: this one is served first
        self.serve(os.fsdecode(line))

    def serve(self, name: str) -> None:
        try:
            path = (self.directory / name).resolve(strict=True)
            if not path.is_relative_to(self.directory):
                raise ValueError("not in the directory")
            if not path.is_file():
                raise ValueError("not a file")  # to open a pipe may wait for ever
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self.write(b"size %d\n" % size)
                self.sendfile(file, 0, size)
        except OSError as error:  # not its text, which has the full path
            self.write(f"error {error.strerror}\n".encode())
        except ValueError as error:
            self.write(f"error {error}\n".encode())
        except RuntimeError:  # from Python before 3.13
            self.write(b"error too many symbolic links\n")

    def on_write(self) -> None:
        if len(self.input) > 0:  # it has asked for more already
            self.on_read()
        if self.has_ended and len(self.output) == 0:
            self.close_after_flush()
        elif len(self.output) == 0:
            self.enable(EV_READ)

    def on_event(self, what: int) -> None:
        if what & BEV_EVENT_EOF and len(self.output) > 0:
            self.has_ended = True  # closed when all it has asked for is written
        else:
            self.close()


class Server(Listener):
    """Accepts clients."""

    directory: Path
    limit: RateLimit | None = None  # one object for all clients; each has its own share

    def on_accept(self, fd: int, address: object) -> None:
        client = Client(self.base, fd, BEV_OPT_CLOSE_ON_FREE)
        client.directory = self.directory
        client.set_timeouts(PATIENCE, PATIENCE)
        client.set_rate_limit(self.limit)
        client.enable(EV_READ)


def stop(number: int, what: int, base: EventBase) -> None:
    base.loopexit()


def main() -> None:
    parser = argparse.ArgumentParser(description="Send files.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (%(default)s)")
    parser.add_argument("--rate", type=int, help="bytes a second for each client")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    try:
        directory = options.directory.resolve(strict=True)
        os.listdir(directory)
    except OSError as error:
        sys.exit(f"{parser.prog}: {error}")

    with EventBase() as base:
        try:
            server = Server(base, (options.host, options.port), backlog=1024)
        except (OSError, ValueError) as error:  # in use, as a rule; or the host is a name
            sys.exit(f"{parser.prog}: {error}")
        server.directory = directory
        if options.rate is not None:
            share = max(options.rate // TICKS, 1)
            server.limit = RateLimit(write_rate=share, write_burst=share, tick=1 / TICKS)
        for number in (signal.SIGINT, signal.SIGTERM):
            Event.signal(base, number, stop, base).add()
        print(f"listening on {options.host}:{server.address[1]}", flush=True)
        base.dispatch()


if __name__ == "__main__":
    main()
