"""A ROT13 line server on gevent: a greenlet per connection, a line at a time."""

import contextlib
import socket

from gevent.server import StreamServer
from rot13 import TABLE


def serve(sock, address):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(ConnectionResetError), sock, sock.makefile("rb") as lines:
        for line in lines:
            sock.sendall(line.translate(TABLE))


server = StreamServer(("127.0.0.1", 0), serve, backlog=4096)
server.start()
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
