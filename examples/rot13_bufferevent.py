"""A server that answers each line with its letters turned by 13 places.

    python examples/rot13_bufferevent.py [--host 127.0.0.1] [--port 40713]

Each connection is a BufferEvent: the library reads into its input, calls on_read, and
sends what on_read has put into its output. rot13_events.py does the same by hand.

Only complete lines are answered; what stands after the last newline when a client ends
is no line, and gets no answer. A client that has ended its sending side still gets all its
answers, and is closed then. One that sends more than 1 MiB without a newline is closed;
while more than 1 MiB of answers wait for one that does not read them, nothing is read from it.
"""

import argparse
import signal
import sys

from pyevent import (
    BEV_EVENT_EOF,
    EV_READ,
    EVBUFFER_EOL_LF,
    BufferEvent,
    Event,
    EventBase,
    Listener,
)

UPPER, LOWER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"
ROT13 = bytes.maketrans(UPPER + LOWER, UPPER[13:] + UPPER[:13] + LOWER[13:] + LOWER[:13])

IDLE = 300  # seconds, for a client that says nothing
PATIENCE = 60  # seconds, for one that takes none of the answers that wait for it


class Client(BufferEvent):
    """One connection. Nobody keeps a reference: its base holds it until it is closed."""

    max_input = 1 << 20  # bytes of a line that is not complete yet
    max_output = 1 << 20  # bytes of answers: above that it is not asked for more lines

    def on_read(self) -> None:
        lines = self.input
        while (line := lines.readln(EVBUFFER_EOL_LF)) is not None:
            self.write(line.translate(ROT13) + b"\n")

    def on_event(self, what: int) -> None:
        # A client that has only ended its sending side still gets all its answers. After an
        # error, a full input, or when our patience is at its end, there is nobody to wait for.
        if what & BEV_EVENT_EOF:
            self.close_after_flush(PATIENCE)
        else:
            self.close()


class Server(Listener):
    """Accepts connections."""

    def on_accept(self, fd: int, address: object) -> None:
        client = Client(self.base, fd)
        client.set_timeouts(IDLE, PATIENCE)
        client.enable(EV_READ)  # writing is enabled from the start


def stop(number: int, what: int, base: EventBase) -> None:
    base.loopexit()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line with its ROT13.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=40713, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    with EventBase() as base:
        try:
            server = Server(base, (options.host, options.port), backlog=1024)
        except (OSError, ValueError) as error:  # in use, as a rule; or the host is a name
            sys.exit(f"{parser.prog}: {error}")
        # Events of the loop, not Python's handlers: they also work where the shell has
        # started the server with SIGINT ignored, as it does for `server &` in a script.
        for number in (signal.SIGINT, signal.SIGTERM):
            Event.signal(base, number, stop, base).add()
        print(f"listening on {options.host}:{server.address[1]}", flush=True)
        base.dispatch()


if __name__ == "__main__":
    main()
