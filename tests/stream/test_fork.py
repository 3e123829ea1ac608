"""A fork in one thread while another one's loop is inside a stream: in the child, where
nobody goes on from there, every connection can still send, receive and be closed.

Each test runs in a Python of its own: a pytest that has threads had better not fork.
"""

import pytest

PROGRAM = """
import os, socket, sys, threading, time, traceback
import pyevent
from pyevent import *

backend, place = sys.argv[1:]
base = EventBase(backend=backend, exception_handler=RAISE)
entered, released = threading.Event(), threading.Event()


def stop(*args):
    if not entered.is_set():
        entered.set()
        assert released.wait(20)


def stop_and_write(bev, *args):
    bev.write(b"from the callback ")
    stop()


def stop_in_filter(source, target, limit, mode, arg):
    stop()
    return BEV_OK if target.add_buffer(source) is None else BEV_ERROR


pairs = [socket.socketpair() for _ in range(3)]
bevs = []
for near, far in pairs:
    far.settimeout(0)
    near.setblocking(False)
    bev = BufferEvent(base, near)
    bev.enable(EV_READ | EV_WRITE)
    bevs.append(bev)
base.loop(EVLOOP_NONBLOCK)

if place == "a read callback":
    bevs[0].setcb(stop_and_write, None, None)
    pairs[0][1].send(b"hello")
elif place == "a write callback":
    bevs[0].setcb(None, stop_and_write, None)
    for bev in bevs:
        bev.write(b"first ")
elif place == "an event callback":
    bevs[0].setcb(None, None, stop_and_write)
    bevs[0].trigger_event(BEV_EVENT_CONNECTED, BEV_TRIG_DEFER_CALLBACKS)
elif place == "a callback of the output":
    bevs[0].output.add_cb(stop)
    for bev in bevs:
        base.call_soon_threadsafe(bev.write, b"first ")
elif place == "a filter of output":
    bevs[0] = Filter(bevs[0], None, stop_in_filter)
    bevs[0].enable(EV_READ | EV_WRITE)
    base.call_soon_threadsafe(bevs[0].write, b"first ")
elif place == "a filter of input":
    bevs[0] = Filter(bevs[0], stop_in_filter, None)
    bevs[0].enable(EV_READ | EV_WRITE)
    pairs[0][1].send(b"hello")
else:
    raise SystemExit(f"unknown place {place!r}")


def take(i, wanted):
    got, limit = b"", time.monotonic() + 10
    while wanted not in got:
        assert time.monotonic() < limit, (i, got)
        base.loop(EVLOOP_NONBLOCK | EVLOOP_ONCE)
        try:
            got += pairs[i][1].recv(100)
        except BlockingIOError:
            pass


def child():
    seen = []
    for i, bev in enumerate(bevs):
        bev.setcb(lambda bev, arg: seen.append((arg, bev.read(100))), None, None, i)
        bev.write(b"child")
    for i in range(3):
        take(i, b"child")
        pairs[i][1].send(b"and back")
        limit = time.monotonic() + 10
        while not (seen and seen[-1][0] == i and seen[-1][1].endswith(b"and back")):
            assert time.monotonic() < limit, seen
            base.loop(EVLOOP_NONBLOCK | EVLOOP_ONCE)
    for bev in bevs:
        bev.close()
    base.close()


thread = threading.Thread(target=base.dispatch)
thread.start()
assert entered.wait(20)
pid = os.fork()
if not pid:
    status = 1
    try:
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
base.loopbreak()
released.set()
thread.join()
for bev in bevs:
    bev.close()
base.close()
for pair in pairs:
    for sock in pair:
        sock.close()
sys.exit(status)
"""

PLACES = [
    "a read callback",
    "a write callback",
    "an event callback",
    "a callback of the output",
    "a filter of output",
    "a filter of input",
]


@pytest.mark.parametrize("place", PLACES)
def test_connections_work_in_a_child_forked_by_another_thread_during(backend, run_python, place):
    run_python(PROGRAM, backend, place, options=("-X", "dev", "-W", "ignore"))
