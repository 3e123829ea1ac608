"""Passes TCP connections on to another address, as libevent's le-proxy does.

    python examples/tcp_proxy.py --port 8080 localhost 80

Each client gets a connection to the target, and what one side sends goes to the other: moved from
buffer to buffer, not copied. A side that does not take its bytes holds the other one back: when
OUTPUT_MAX bytes wait for it nothing more is read for it. A side that ends its sending ends the
other's receiving, and the other direction goes on.
"""

import argparse
import signal
import sys

from pyevent import (
    BEV_EVENT_CONNECTED,
    BEV_EVENT_EOF,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    Event,
    EventBase,
    Listener,
)

OUTPUT_MAX = 256 * 1024  # bytes that may wait for one side
PATIENCE = 60  # seconds, for a side that takes nothing of what waits for it


class Side(BufferEvent):
    """One of the two connections of a client."""

    other: "Side"
    has_ended = False  # it sends no more

    def begin(self, other: "Side") -> None:
        self.other = other
        self.set_timeouts(write=PATIENCE)
        self.set_output_high(OUTPUT_MAX, Side.on_high)

    def on_read(self) -> None:
        self.other.write_buffer(self.input)

    def on_high(self, arg: object) -> None:
        """Too much waits for this side: the other one may not send for now."""
        self.other.disable(EV_READ)

    def on_write(self) -> None:
        """All has been written."""
        if not self.other.closed and not self.other.has_ended:
            self.other.enable(EV_READ)

    def on_event(self, what: int) -> None:
        if what & BEV_EVENT_CONNECTED:
            self.enable(EV_READ)
        elif what & BEV_EVENT_EOF and not self.other.has_ended:
            self.has_ended = True
            self.other.shutdown_write()
        elif what & BEV_EVENT_EOF:  # both have ended: what waits still is delivered
            self.other.close_after_flush()
            self.close_after_flush()
        else:  # there is nobody to talk to: the other side gets what was said
            if self.error is not None:
                print(self.error, file=sys.stderr)
            self.close()
            self.other.close_after_flush()


class Proxy(Listener):
    """Accepts clients."""

    target: tuple[str, int]

    def on_accept(self, fd: int, address: object) -> None:
        client = Side(self.base, fd, BEV_OPT_CLOSE_ON_FREE)
        server = Side(self.base, None, BEV_OPT_CLOSE_ON_FREE)
        client.begin(server)
        server.begin(client)
        client.enable(EV_READ)  # what comes before the other side is connected waits there
        server.connect_hostname(*self.target)


def stop(number: int, what: int, base: EventBase) -> None:
    base.loopexit()


def main() -> None:
    parser = argparse.ArgumentParser(description="Pass TCP connections on.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (%(default)s)")
    parser.add_argument("target_host", help="a name or an address")
    parser.add_argument("target_port", type=int)
    options = parser.parse_args()

    with EventBase() as base:
        try:
            proxy = Proxy(base, (options.host, options.port), backlog=1024)
        except (OSError, ValueError) as error:  # in use, as a rule; or the host is a name
            sys.exit(f"{parser.prog}: {error}")
        proxy.target = (options.target_host, options.target_port)
        for number in (signal.SIGINT, signal.SIGTERM):
            Event.signal(base, number, stop, base).add()
        print(f"listening on {options.host}:{proxy.address[1]}", flush=True)
        base.dispatch()


if __name__ == "__main__":
    main()
