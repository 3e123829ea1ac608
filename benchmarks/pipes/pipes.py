"""The classic pipe benchmark in Python: pipes.py LIBRARY PIPES ACTIVE WRITES RUNS.

LIBRARY is pyevent, asyncio or uvloop; see pipes.c for what is done and printed.
"""

import json
import os
import statistics
import sys
from time import process_time

LIBRARY, PIPES, ACTIVE, WRITES, RUNS = sys.argv[1], *map(int, sys.argv[2:])


class Pipes:
    """Common to all: the pipes, and what is done when one is readable."""

    def __init__(self):
        pairs = [os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) for _ in range(PIPES)]
        self.readers = [r for r, _ in pairs]
        self.writers = dict(zip(self.readers, [w for _, w in pairs[1:] + pairs[:1]], strict=True))
        self.starters = [pairs[i * PIPES // ACTIVE][1] for i in range(ACTIVE)]
        self.left = self.to_come = 0

    def readable(self, fd, what=None, arg=None):
        os.read(fd, 1)
        self.to_come -= 1
        if self.left:
            self.left -= 1
            os.write(self.writers[fd], b"e")
        elif not self.to_come:
            self.stop()

    def run_once(self):
        start = process_time()
        self.watch_all()
        added = process_time()
        self.left, self.to_come = WRITES, ACTIVE + WRITES
        for fd in self.starters:
            os.write(fd, b"e")
        self.run()
        return process_time() - added, added - start


class OnPyevent(Pipes):
    def __init__(self):
        import pyevent

        super().__init__()
        what = pyevent.EV_READ | pyevent.EV_PERSIST
        self.base = pyevent.EventBase()
        self.events = [pyevent.Event(self.base, fd, what, self.readable) for fd in self.readers]
        self.run = self.base.dispatch
        self.stop = self.base.loopbreak

    def watch_all(self):
        for ev in self.events:
            ev.delete()
            ev.add()


class OnAsyncio(Pipes):
    def __init__(self, loop):
        super().__init__()
        self.loop = loop
        self.run = loop.run_forever
        self.stop = loop.stop

    def watch_all(self):
        for fd in self.readers:
            self.loop.remove_reader(fd)
            self.loop.add_reader(fd, self.readable, fd)


def open_pipes():
    if LIBRARY == "pyevent":
        return OnPyevent()
    if LIBRARY == "uvloop":
        import uvloop

        return OnAsyncio(uvloop.new_event_loop())
    import asyncio

    return OnAsyncio(asyncio.new_event_loop())


pipes = open_pipes()
runs = [pipes.run_once() for _ in range(RUNS + 1)][1:]
loop_us, add_us = (statistics.median(times) * 1e6 for times in zip(*runs, strict=True))
print(json.dumps({"loop_us": round(loop_us, 2), "add_us": round(add_us, 2)}))
