"""A ROT13 line server on pyevent: pyevent_server.py [readln|readlines] [SWITCH_INTERVAL].

With a switch interval, in seconds, a second thread computes all the time.
"""

import socket
import sys
import threading

from rot13 import TABLE

from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    EVBUFFER_EOL_LF,
    BufferEvent,
    EventBase,
    Listener,
)


def read_lines(bev, arg):
    """A line at a time."""
    lines, answer = bev.input, bev.output
    while (line := lines.readln(EVBUFFER_EOL_LF)) is not None:
        answer.add(line.translate(TABLE))
        answer.add(b"\n")


def read_all_lines(bev, arg):
    """All complete lines at once."""
    answer = bev.output
    for line in bev.input.readlines(EVBUFFER_EOL_LF):
        answer.add(line.translate(TABLE))
        answer.add(b"\n")


on_read = read_all_lines if sys.argv[1:2] == ["readlines"] else read_lines


def compute():
    n = 0
    while True:
        n += 1


def on_accept(listener, fd, address, base):
    sock = socket.socket(fileno=fd)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.detach()
    bev = BufferEvent(base, fd, BEV_OPT_CLOSE_ON_FREE)
    bev.setcb(on_read)
    bev.enable(EV_READ)


if sys.argv[2:]:
    sys.setswitchinterval(float(sys.argv[2]))
    threading.Thread(target=compute, daemon=True).start()
base = EventBase()
listener = Listener(base, ("127.0.0.1", 0), on_accept, base, backlog=4096)
print(f"listening on 127.0.0.1:{listener.address[1]}", flush=True)
base.dispatch()
