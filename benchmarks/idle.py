"""What an idle connection costs: private memory per accepted connection that has sent one line.

    python benchmarks/idle.py [--connections 8000] [--runs 3]

For each server, in a process of its own: one connection is served to warm it up, Private_Dirty
of /proc/PID/smaps_rollup is noted, all connect, each sends a line and gets it back, and
Private_Dirty is read again. The difference by the number of connections is what is printed: the
memory that only this process has, Python's objects and the library's together, without what the
kernel keeps for its sockets.
"""

import argparse
import asyncio
import gc
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys

LINE = b"The quick brown fox jumps over the lazy dog\n"


def serve_pyevent(sock):
    from pyevent import BEV_OPT_CLOSE_ON_FREE, EV_READ, BufferEvent, EventBase, Listener

    class Connection(BufferEvent):
        def on_read(self):
            self.write(self.read(65536))

    class Server(Listener):
        def on_accept(self, fd, address):
            Connection(self.base, fd, BEV_OPT_CLOSE_ON_FREE).enable(EV_READ)

    with EventBase() as base:
        server = Server(base, sock, backlog=0)
        base.dispatch()
        server.close()


def serve_asyncio(sock):
    class Connection(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def serve():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Connection, sock=sock)
        await server.serve_forever()

    asyncio.run(serve())


SERVERS = {"pyevent": serve_pyevent, "asyncio": serve_asyncio}


def private_dirty(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        for line in lines:
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no Private_Dirty")


def ask(sock):
    sock.sendall(LINE)
    got = b""
    while len(got) < len(LINE):
        got += sock.recv(len(LINE))
    assert got == LINE


def measure(name, count):
    """Bytes per connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        address = sock.getsockname()
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", name, str(sock.fileno())],
            pass_fds=[sock.fileno()],
        )
    try:
        with socket.create_connection(address) as first:
            ask(first)
        before = private_dirty(server.pid)
        clients = []
        for _ in range(count):
            clients.append(socket.create_connection(address))
            ask(clients[-1])
        grown = private_dirty(server.pid) - before
        for client in clients:
            client.close()
        return grown / count
    finally:
        server.kill()
        server.wait()


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[1:2] == ["--serve"]:
        gc.collect()
        SERVERS[sys.argv[2]](socket.socket(fileno=int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=8000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()

    import pyevent

    print(
        f"pyevent {pyevent.__version__}, {pyevent.EventBase().get_method()}, "
        f"Python {platform.python_version()}, {os.cpu_count()} processors, "
        f"{options.connections} connections, {options.runs} runs"
    )
    for name in SERVERS:
        found = [measure(name, options.connections) for _ in range(options.runs)]
        print(
            f"{name:8} best {min(found):6.0f}  median {statistics.median(found):6.0f} "
            "bytes per idle connection"
        )


if __name__ == "__main__":
    main()
