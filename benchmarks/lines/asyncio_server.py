"""A ROT13 line server on asyncio: asyncio_server.py asyncio|uvloop|rloop [streams]."""

import asyncio
import socket
import sys

from rot13 import TABLE


class Lines(asyncio.Protocol):
    """The callback interface, which is the fast one."""

    def connection_made(self, transport):
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.write = transport.write
        self.partial = b""

    def data_received(self, data):
        if self.partial:
            data = self.partial + data
        lines = data.split(b"\n")
        self.partial = lines.pop()
        write = self.write
        for line in lines:
            write(line.translate(TABLE) + b"\n")


async def serve_stream(reader, writer):
    """The coroutine interface."""
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while line := await reader.readline():
        writer.write(line.translate(TABLE))
    writer.close()


def new_loop(name):
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    if name == "rloop":
        import rloop

        return rloop.new_event_loop()
    return asyncio.new_event_loop()


async def start(loop, streams):
    if streams:
        return await asyncio.start_server(serve_stream, "127.0.0.1", 0, backlog=4096)
    return await loop.create_server(Lines, "127.0.0.1", 0, backlog=4096)


loop = new_loop(sys.argv[1])
asyncio.set_event_loop(loop)
server = loop.run_until_complete(start(loop, sys.argv[2:] == ["streams"]))
print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
loop.run_forever()
