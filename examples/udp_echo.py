"""Sends each datagram back to where it came from.

    python examples/udp_echo.py --port 4002

Up to 64 datagrams are read by one system call and answered by another. When more is to go out than
the kernel takes, the newest is dropped: that is what a network does with datagrams too.
"""

import argparse
import signal
import sys

from pyevent import Datagram, Event, EventBase


def echo(socket: Datagram, batch: list[tuple[bytes, object]], arg: object) -> None:
    for data, address in batch:
        socket.send(data, address)  # type: ignore[arg-type]


def stop(number: int, what: int, base: EventBase) -> None:
    base.loopexit()


def main() -> None:
    parser = argparse.ArgumentParser(description="A UDP echo server.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    with EventBase() as base:
        try:
            server = Datagram(base, (options.host, options.port))
        except (OSError, ValueError) as error:  # in use, as a rule; or the host is a name
            sys.exit(f"{parser.prog}: {error}")
        server.setcb(echo)
        for number in (signal.SIGINT, signal.SIGTERM):
            Event.signal(base, number, stop, base).add()
        print(f"listening on {options.host}:{server.address[1]}", flush=True)
        base.dispatch()


if __name__ == "__main__":
    main()
