"""Memory runs out, once, at each allocation of the core in turn: a MemoryError, and no harm."""

import gc
import os
import signal

import pytest

import pyevent
from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_SIGNAL,
    EV_TIMEOUT,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    CheckWatcher,
    Event,
    EventBase,
    EventConfig,
    PrepareWatcher,
)


class Again:
    """again(function, *args) gives its result; after a MemoryError, that of a second call."""

    def __init__(self):
        self.failures = 0

    def __call__(self, function, *args):
        try:
            return function(*args)
        except MemoryError:
            self.failures += 1
            return function(*args)


def config(base, near, seen, again):
    made = again(EventConfig)
    again(made.avoid_method, "kqueue")
    again(EventBase, made).close()


def timers(base, near, seen, again):
    events = [Event(base, -1, 0, lambda *args: seen.append(1)) for _ in range(70)]
    for ev in events:
        again(ev.add, 0)
    base.dispatch()
    assert len(seen) == 70


def readers(base, near, seen, again):
    far = os.dup(near.fileno())
    os.dup2(near.fileno(), 300)
    events = [Event(base, fd, EV_READ | EV_PERSIST, print) for fd in (near, far, 300)]
    for ev in events:
        again(ev.add)
    assert len(base.get_events()) == 3
    for ev in events:
        ev.close()
    os.close(far)
    os.close(300)


def signals(base, near, seen, again):
    ev = Event(base, signal.SIGUSR1, EV_SIGNAL, lambda *args: seen.append(1))
    again(ev.add)
    os.kill(os.getpid(), signal.SIGUSR1)
    base.loop(EVLOOP_ONCE)
    assert seen == [1]


def calls(base, near, seen, again):
    again(base.once, -1, EV_TIMEOUT, lambda *args: seen.append(1))
    again(base.once, -1, EV_TIMEOUT, lambda *args: seen.append(2), None, 0.001)
    again(base.call_soon_threadsafe, seen.append, 3)
    Event.timer(base, print).finalize(lambda ev, arg: seen.append(4))
    again(base.loopexit, 60)
    base.loop(EVLOOP_ONCE)
    base.loop(EVLOOP_ONCE)
    assert sorted(seen) == [1, 2, 3, 4]


def the_rest(base, near, seen, again):
    again(base.priority_init, 9)
    again(PrepareWatcher, base, lambda *args: seen.append(1))
    again(CheckWatcher, base, lambda *args: seen.append(2))
    again(base.init_common_timeout, 1)
    assert again(base.stats)["turns"] == 0
    again(base.reinit)
    base.loop(EVLOOP_NONBLOCK)
    base.once(-1, EV_TIMEOUT, lambda *args: None)
    base.loop(EVLOOP_ONCE)
    assert seen in ([1, 2], [1, 2, 1, 2])


def base_itself(base, near, seen, again):
    with again(lambda: EventBase(backend=base.method)) as other:
        assert again(other.dispatch) == 1


STORIES = [base_itself, config, timers, readers, signals, calls, the_rest]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_each_function_raises_memoryerror_and_can_be_called_again(story, backend, socketpair):
    gc.collect()
    before = pyevent.live_allocations()
    failures = 0
    for n in range(1, 300):
        again = Again()
        with EventBase(backend=backend, exception_handler=pyevent.RAISE) as base:
            pyevent._native.core._fail_allocation(n)
            try:
                story(base, socketpair[0], [], again)
            finally:
                pyevent._native.core._fail_allocation(0)
        assert pyevent.live_allocations() == before
        if not again.failures:
            break
        failures += 1
    assert failures
    assert n == failures + 1  # the last was told without a failure
