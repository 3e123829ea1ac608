"""A line chat: what one says all others read.

    python examples/chat.py --port 4000        (and then: nc 127.0.0.1 4000, twice)

A line that goes to a thousand people is in memory once: it is put into a buffer, and each
connection's output refers to that (add_buffer_reference). Who does not read is shown out when
OUTPUT_MAX bytes wait for him, so that one sleeper cannot fill the memory.
"""

import argparse
import signal
import sys

from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    EVBUFFER_EOL_CRLF,
    Buffer,
    BufferEvent,
    Event,
    EventBase,
    Listener,
)

LINE_MAX = 1000  # bytes
OUTPUT_MAX = 1 << 20


class Person(BufferEvent):
    """One connection."""

    room: "Room"
    name = ""

    def on_read(self) -> None:
        while (line := self.input.readln(EVBUFFER_EOL_CRLF)) is not None:
            text = line.decode("utf-8", "replace").strip()
            if not self.name:
                self.enter(text[:20] or f"guest {self.fd}")
            elif text == "/quit":
                self.leave()
                return
            elif text:
                self.room.tell(f"{self.name}: {text}", self)
        if len(self.input) > LINE_MAX:
            self.write(b"* that line is too long\n")
            self.leave()

    def enter(self, name: str) -> None:
        self.name = name
        self.room.people.add(self)
        self.write(f"* hello {name}; {len(self.room.people)} here; /quit leaves\n".encode())
        self.room.tell(f"* {name} has come", self)

    def leave(self) -> None:
        """What was said to it before is still delivered."""
        if not self.closed:
            self.close_after_flush()
        if self in self.room.people:
            self.room.people.remove(self)
            self.room.tell(f"* {self.name} has gone", self)

    def sleeps(self, arg: object) -> None:
        self.close()
        self.leave()

    def on_event(self, what: int) -> None:
        self.leave()


class Room(Listener):
    """Everybody who is here."""

    people: set[Person]

    def on_accept(self, fd: int, address: object) -> None:
        person = Person(self.base, fd, BEV_OPT_CLOSE_ON_FREE)
        person.room = self
        person.set_output_high(OUTPUT_MAX, Person.sleeps)
        person.write(b"* your name?\n")
        person.enable(EV_READ)

    def tell(self, text: str, speaker: Person) -> None:
        with Buffer(text.encode() + b"\n") as said:
            for person in list(self.people):
                if person is not speaker and not person.closed:
                    person.output.add_buffer_reference(said)


def stop(number: int, what: int, base: EventBase) -> None:
    base.loopexit()


def main() -> None:
    parser = argparse.ArgumentParser(description="A line chat.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (%(default)s)")
    options = parser.parse_args()

    with EventBase() as base:
        try:
            room = Room(base, (options.host, options.port), backlog=1024)
        except (OSError, ValueError) as error:  # in use, as a rule; or the host is a name
            sys.exit(f"{parser.prog}: {error}")
        room.people = set()
        for number in (signal.SIGINT, signal.SIGTERM):
            Event.signal(base, number, stop, base).add()
        print(f"listening on {options.host}:{room.address[1]}", flush=True)
        base.dispatch()


if __name__ == "__main__":
    main()
