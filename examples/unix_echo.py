"""An echo server on a Unix socket, which systemd may have made.

    python examples/unix_echo.py /run/user/1000/echo
    systemd-socket-activate -l /tmp/echo python examples/unix_echo.py

A path that an earlier server has left behind is taken over; one where somebody answers is not.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    Event,
    EventBase,
    Listener,
    listen_fds,
)


class Client(BufferEvent):
    """One connection; closed by the library when the client has ended and has all."""

    def on_read(self) -> None:
        self.write_buffer(self.input)


class Server(Listener):
    """Accepts clients."""

    def on_accept(self, fd: int, address: object) -> None:
        Client(self.base, fd, BEV_OPT_CLOSE_ON_FREE).enable(EV_READ)


def stop(number: int, what: int, base: EventBase) -> None:
    base.loopexit()


def main() -> None:
    parser = argparse.ArgumentParser(description="An echo server on a Unix socket.")
    parser.add_argument("path", nargs="?", help="none: the sockets that systemd hands over")
    options = parser.parse_args()

    with EventBase() as base:
        if options.path is not None:
            try:
                server = Server(base, Path(options.path), unlink_stale=True)
            except (OSError, ValueError) as error:  # somebody answers there, or it cannot be made
                sys.exit(f"{parser.prog}: {error}")
            print(f"listening on {server.address}", flush=True)
        else:
            inherited = listen_fds()
            if not inherited:
                sys.exit(f"{parser.prog}: neither a path nor a socket")
            for fd in inherited:
                server = Server(base, fd)
                print(f"listening on {server.address}, inherited", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            Event.signal(base, number, stop, base).add()
        base.dispatch()
        server.close()
    if options.path is not None:
        os.unlink(options.path)


if __name__ == "__main__":
    main()
