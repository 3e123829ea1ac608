"""A tunnel for TCP connections, compressed on its way: one program at each of its ends.

    near$ python examples/zlib_tunnel.py --port 8080 pack far.example 9000
    far$  python examples/zlib_tunnel.py --port 9000 unpack localhost 80

What a client sends to near:8080 goes to far:9000 as one zlib stream, and from there, as it was, to
port 80; the answers come back in the same way. Every piece can be unpacked as soon as it is there.
The compressing is a Filter: functions between a connection and what the program sees of it, which
knows nothing of zlib and is the same for both sides.

As in tcp_proxy.py a side that does not take its bytes holds the other one back, and each direction
ends by itself. A stream that is cut off or garbled closes the connection.
"""

import argparse
import signal
import sys
import zlib

from pyevent import (
    BEV_ERROR,
    BEV_EVENT_CONNECTED,
    BEV_EVENT_EOF,
    BEV_FINISHED,
    BEV_NEED_MORE,
    BEV_OK,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    EV_WRITE,
    Buffer,
    BufferEvent,
    Event,
    EventBase,
    Filter,
    Listener,
)

OUTPUT_MAX = 256 * 1024  # bytes that may wait for one side
INPUT_MAX = 256 * 1024  # unpacked bytes that may wait to be passed on
PIECE = 1024  # packed bytes unpacked at a time: no more than a million come of them
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
            self.other.shutdown_write()  # which ends a zlib stream, too
        elif what & BEV_EVENT_EOF:  # both have ended: what waits still is delivered
            self.other.close_after_flush()
            self.close_after_flush()
        else:  # there is nobody to talk to: the other side gets what was said
            if self.error is not None:
                print(self.error, file=sys.stderr)
            self.close()
            self.other.close_after_flush()


class Packed(Side, Filter):
    """The side that talks to the other end of the tunnel, through zlib."""

    def __init__(self, under: BufferEvent) -> None:
        super().__init__(under, self.unpack, self.pack, BEV_OPT_CLOSE_ON_FREE)
        self.packer = zlib.compressobj()
        self.unpacker = zlib.decompressobj()
        self.setwatermark(EV_READ, 0, INPUT_MAX)
        under.setwatermark(EV_WRITE, 0, OUTPUT_MAX)
        under.set_timeouts(write=PATIENCE)

    def pack(self, src: Buffer, dst: Buffer, limit: int, mode: int, arg: object) -> int:
        dst.add(self.packer.compress(src.remove()))
        dst.add(self.packer.flush(zlib.Z_FINISH if mode == BEV_FINISHED else zlib.Z_SYNC_FLUSH))
        return BEV_OK

    def unpack(self, src: Buffer, dst: Buffer, limit: int, mode: int, arg: object) -> int:
        packed = src.remove(PIECE)
        try:
            dst.add(self.unpacker.decompress(packed))
        except zlib.error:
            return BEV_ERROR
        if self.unpacker.unused_data or (mode == BEV_FINISHED and not self.unpacker.eof):
            return BEV_ERROR  # more than the stream, or less
        return BEV_OK if packed else BEV_NEED_MORE


class Tunnel(Listener):
    """Accepts clients, or what the other end sends for them."""

    target: tuple[str, int]
    packs = True  # what it accepts is plain

    def on_accept(self, fd: int, address: object) -> None:
        client: Side
        server: Side
        target: BufferEvent
        if self.packs:
            client = Side(self.base, fd, BEV_OPT_CLOSE_ON_FREE)
            target = BufferEvent(self.base, None, BEV_OPT_CLOSE_ON_FREE)
            server = Packed(target)
        else:
            client = Packed(BufferEvent(self.base, fd, BEV_OPT_CLOSE_ON_FREE))
            target = server = Side(self.base, None, BEV_OPT_CLOSE_ON_FREE)
        client.begin(server)
        server.begin(client)
        client.enable(EV_READ)  # what comes before the other side is connected waits there
        target.connect_hostname(*self.target)


def stop(number: int, what: int, base: EventBase) -> None:
    base.loopexit()


def main() -> None:
    parser = argparse.ArgumentParser(description="Carry TCP connections compressed.")
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (%(default)s)")
    parser.add_argument("what", choices=["pack", "unpack"], help="what is done to what comes in")
    parser.add_argument("target_host", help="a name or an address")
    parser.add_argument("target_port", type=int)
    options = parser.parse_args()

    with EventBase() as base:
        try:
            tunnel = Tunnel(base, (options.host, options.port), backlog=1024)
        except (OSError, ValueError) as error:  # in use, as a rule; or the host is a name
            sys.exit(f"{parser.prog}: {error}")
        tunnel.target = (options.target_host, options.target_port)
        tunnel.packs = options.what == "pack"
        for number in (signal.SIGINT, signal.SIGTERM):
            Event.signal(base, number, stop, base).add()
        print(f"listening on {options.host}:{tunnel.address[1]}", flush=True)
        base.dispatch()


if __name__ == "__main__":
    main()
