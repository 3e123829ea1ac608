"""An echo server: echo_server.py pyevent|asyncio|uvloop|rloop|gevent."""

import socket
import sys

CHUNK = 256 * 1024  # what gevent's greenlets read at a time; the others choose


def no_delay(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def listening(port):
    print(f"listening on 127.0.0.1:{port}", flush=True)


def serve_pyevent():
    import pyevent as pe

    def on_read(bev, arg):
        bev.write_buffer(bev.input)

    def on_accept(listener, fd, address, base):
        sock = socket.socket(fileno=fd)
        no_delay(sock)
        sock.detach()
        bev = pe.BufferEvent(base, fd, pe.BEV_OPT_CLOSE_ON_FREE)
        bev.setcb(on_read)
        bev.enable(pe.EV_READ)

    base = pe.EventBase()
    listener = pe.Listener(base, ("127.0.0.1", 0), on_accept, base)
    listening(listener.address[1])
    base.dispatch()


def serve_asyncio(loop):
    import asyncio

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            no_delay(transport.get_extra_info("socket"))
            self.write = transport.write

        def data_received(self, data):
            self.write(data)

    asyncio.set_event_loop(loop)
    server = loop.run_until_complete(loop.create_server(Echo, "127.0.0.1", 0))
    listening(server.sockets[0].getsockname()[1])
    loop.run_forever()


def serve_gevent():
    from gevent.server import StreamServer

    def serve(sock, address):
        no_delay(sock)
        while data := sock.recv(CHUNK):
            sock.sendall(data)

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    listening(server.server_port)
    server.serve_forever()


library = sys.argv[1]
if library == "pyevent":
    serve_pyevent()
elif library == "gevent":
    serve_gevent()
else:
    serve_asyncio(__import__(library).new_event_loop())
