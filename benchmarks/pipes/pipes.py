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
        self.make_callback()

    def make_callback(self):
        """A function as quick as can be: what is compared is what calls it."""
        left = last = 0
        read, write, writers = os.read, os.write, self.writers

        def begin():
            nonlocal left, last
            left, last = WRITES, ACTIVE

        def readable(fd, what=None, arg=None):
            nonlocal left, last
            read(fd, 1)
            if left:
                left -= 1
                write(writers[fd], b"e")
                return
            last -= 1
            if not last:
                self.stop()

        self.begin, self.readable = begin, readable

    def pass_on(self):
        start = process_time()
        self.begin()
        for fd in self.starters:
            os.write(fd, b"e")
        self.run()
        return process_time() - start

    def run_once(self):
        start = process_time()
        self.watch_all()
        added = process_time() - start
        return added, self.pass_on(), self.pass_on()


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
medians = [round(statistics.median(times) * 1e6, 2) for times in zip(*runs, strict=True)]
print(json.dumps(dict(zip(("add_us", "first_us", "loop_us"), medians, strict=True))))
