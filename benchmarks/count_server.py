"""What count.py has callgrind count: count_server.py DEPTH ROUNDS, one connection in a process."""

import socket
import sys

from pyevent import (
    EV_READ,
    EVBUFFER_EOL_LF,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    BufferEvent,
    EventBase,
)

sys.path.insert(0, f"{sys.path[0]}/lines")
from rot13 import TABLE  # noqa: E402


def on_read(bev, arg):
    lines, answer = bev.input, bev.output
    while (line := lines.readln(EVBUFFER_EOL_LF)) is not None:
        answer.add(line.translate(TABLE))
        answer.add(b"\n")


depth, rounds = map(int, sys.argv[1:])
data = (b"x" * 63 + b"\n") * depth
near, far = socket.socketpair()
far.setblocking(False)
base = EventBase()
bev = BufferEvent(base, far)
bev.setcb(on_read)
bev.enable(EV_READ)
for _ in range(rounds):
    near.sendall(data)
    base.loop(EVLOOP_ONCE | EVLOOP_NONBLOCK)
    near.recv(len(data))
