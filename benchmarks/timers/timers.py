"""What timers cost in Python: timers.py LIBRARY COUNT RUNS.

LIBRARY is pyevent, asyncio or uvloop; see timers.c for what is done and printed: in a callback,
too. To add is to make the object and to set it; asyncio moves a timer by cancelling it and
making another.
"""

import gc
import json
import random
import statistics
import sys
import time
from time import process_time

LIBRARY, COUNT, RUNS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class OnPyevent:
    def __init__(self):
        import pyevent

        self.Event = pyevent.Event
        self.base = pyevent.EventBase()
        self.run = self.base.dispatch  # returns when no timer is left

    def in_callback(self, work):
        self.base.call_soon_threadsafe(work)
        self.base.loop(1)  # EVLOOP_ONCE

    def add(self, delays):
        self.timers = timers = []
        base, Event, fired = self.base, self.Event, self.fired
        for delay in delays:
            timer = Event(base, -1, 0, fired)
            timer.add(delay)
            timers.append(timer)

    def move(self, delays):
        for timer, delay in zip(self.timers, delays, strict=True):
            timer.add(delay)

    def cancel(self):
        for timer in self.timers:
            timer.delete()
        self.timers = None

    def fired(self, fd, what, arg):
        pass


class OnAsyncio:
    def __init__(self, loop):
        self.loop = loop
        self.run = loop.run_forever

    def in_callback(self, work):
        self.loop.call_soon(work)
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def add(self, delays):
        self.left = len(delays)
        call_later, fired = self.loop.call_later, self.fired
        self.timers = [call_later(delay, fired, None) for delay in delays]

    def move(self, delays):
        call_later, fired, timers = self.loop.call_later, self.fired, self.timers
        for i, delay in enumerate(delays):
            timers[i].cancel()
            timers[i] = call_later(delay, fired, None)

    def cancel(self):
        for timer in self.timers:
            timer.cancel()
        self.timers = None
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()  # what was cancelled is taken out here

    def fired(self, arg):
        self.left -= 1
        if not self.left:
            self.loop.stop()


def open_loop():
    if LIBRARY == "pyevent":
        return OnPyevent()
    if LIBRARY == "uvloop":
        import uvloop

        return OnAsyncio(uvloop.new_event_loop())
    import asyncio

    return OnAsyncio(asyncio.new_event_loop())


def timed(call, *args):
    start = process_time()
    call(*args)
    return (process_time() - start) / COUNT * 1e9


def delays(most):
    return [random.random() * most for _ in range(COUNT)]


def run_once(loop):
    far, farther, soon = delays(100), delays(100), delays(0.002)
    result = {}

    def set_and_move():
        result["add_ns"] = timed(loop.add, far)
        result["move_ns"] = timed(loop.move, farther)

    gc.collect()
    result["add_outside_ns"] = timed(loop.add, far)
    loop.cancel()
    gc.collect()
    loop.in_callback(set_and_move)
    result["cancel_ns"] = timed(loop.cancel)
    loop.add(soon)
    time.sleep(0.005)
    result["fire_ns"] = timed(loop.run)
    return result


random.seed(1)
loop = open_loop()
runs = [run_once(loop) for _ in range(RUNS + 1)][1:]
print(json.dumps({key: round(statistics.median(r[key] for r in runs), 2) for key in runs[0]}))
