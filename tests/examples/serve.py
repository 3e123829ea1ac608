"""An example's server that can be asked what memory the C core holds.

    python serve.py examples/rot13_events.py [NAME=NUMBER ...]

Prints "listening on 127.0.0.1:PORT", and on SIGUSR1 pyevent.live_allocations() as one line of
JSON. NAME=NUMBER sets a constant of the example; SO_SNDBUF is how much the kernel is to take of
the answers to a client. Ends with SIGTERM.
"""

import importlib.util
import json
import os
import resource
import signal
import socket
import sys

import pyevent
from pyevent import Event, EventBase, Listener


def load(path):
    spec = importlib.util.spec_from_file_location("example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(number, what, arg):
    print(json.dumps(pyevent.live_allocations()), flush=True)


def main():
    example = load(sys.argv[1])
    settings = dict(setting.split("=") for setting in sys.argv[2:])
    sndbuf = settings.pop("SO_SNDBUF", None)
    for name, number in settings.items():
        assert hasattr(example, name)
        setattr(example, name, float(number))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    with EventBase() as base:
        if issubclass(example.Server, Listener):
            server = example.Server(base, ("127.0.0.1", 0), backlog=4096)
        else:
            server = example.Server(base, "127.0.0.1", 0)
        listener = server if isinstance(server, Listener) else server.sock
        with socket.socket(fileno=os.dup(listener.fileno())) as sock:
            port = sock.getsockname()[1]
            if sndbuf is not None:  # accepted sockets inherit it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, int(sndbuf))
        Event.signal(base, signal.SIGUSR1, report).add()
        Event.signal(base, signal.SIGTERM, lambda *args: base.loopexit()).add()
        print(f"listening on 127.0.0.1:{port}", flush=True)
        base.dispatch()
        if not isinstance(server, Listener):
            example.server_free(server)


main()
