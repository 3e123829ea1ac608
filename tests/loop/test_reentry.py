"""Every public function of bases and events, called from every kind of callback."""

import contextlib
import os
import signal
import socket
import threading

import pytest

from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_SIGNAL,
    EV_TIMEOUT,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    CheckWatcher,
    Event,
    EventBase,
    PrepareWatcher,
)

ONE_TURN = EVLOOP_ONCE | EVLOOP_NONBLOCK


class World:
    """A base with other events around the one whose callback runs."""

    def __init__(self, base, near, far):
        self.base = base
        self.near = near
        self.events = [
            Event(base, near, EV_READ | EV_PERSIST, self.other),
            Event(base, near, EV_WRITE, self.other),
            Event(base, far, EV_WRITE | EV_PERSIST, self.other),
            Event(base, -1, EV_PERSIST, self.other),
            Event.timer(base, self.other),
            Event.timer(base, self.other),
            Event.signal(base, signal.SIGUSR2, self.other),
        ]
        for ev in self.events:
            ev.add(0.001 if ev.fd < 0 else None)
        for ev in self.events[3:6]:
            ev.active()
        far.send(b"x")
        os.kill(os.getpid(), signal.SIGUSR2)
        self.others = 0
        self.rounds = 0

    def other(self, fd, what, arg):
        self.others += 1

    def each(self, function):
        for ev in list(self.events):
            function(ev)

    def replace(self):
        self.each(Event.close)
        self.events[:] = [Event(self.base, self.near, EV_WRITE, self.other) for _ in range(5)]
        self.each(Event.add)

    def drop(self):
        self.each(Event.delete)
        self.events.clear()


def refused(function, *args):
    with pytest.raises(RuntimeError):
        function(*args)


def may_be_refused(function, *args):
    with contextlib.suppress(ValueError):
        function(*args)


ACTIONS = {
    "add": lambda w: w.each(lambda ev: ev.add(0)),
    "add without timeout": lambda w: w.each(Event.add),
    "delete": lambda w: w.each(Event.delete),
    "delete and add": lambda w: w.each(lambda ev: (ev.delete(), ev.add(0.001))),
    "remove_timer": lambda w: w.each(Event.remove_timer),
    "active": lambda w: w.each(lambda ev: ev.active(EV_TIMEOUT)),
    "active many": lambda w: w.each(lambda ev: ev.active(EV_SIGNAL, 3)),
    "close": lambda w: w.each(Event.close),
    "finalize": lambda w: w.each(lambda ev: ev.closed or ev.finalize(lambda ev, arg: None)),
    "close and set up anew": World.replace,
    "delete and drop": World.drop,
    "get": lambda w: w.each(lambda ev: (ev.pending, ev.fd, ev.events, ev.priority, str(ev))),
    "get objects": lambda w: w.each(lambda ev: (ev.base, ev.callback, ev.arg)),
    "priority_set": lambda w: w.each(lambda ev: ev.pending or ev.priority_set(0)),
    "once": lambda w: [w.base.once(w.near, EV_WRITE, w.other) for _ in range(10)],
    "once at once": lambda w: w.base.once(-1, EV_TIMEOUT, w.other),
    "call_soon_threadsafe": lambda w: w.base.call_soon_threadsafe(w.other, 1, 2, 3),
    "loopbreak": lambda w: w.base.loopbreak(),
    "loopexit": lambda w: w.base.loopexit(),
    "loopexit later": lambda w: w.base.loopexit(0.001),
    "loopcontinue": lambda w: w.base.loopcontinue(),
    "dispatch": lambda w: refused(w.base.dispatch),
    "loop": lambda w: refused(w.base.loop, 1),
    "close the base": lambda w: refused(w.base.close),
    "init the base": lambda w: refused(w.base.__init__),
    "reinit": lambda w: w.base.reinit(),
    "priority_init": lambda w: may_be_refused(w.base.priority_init, 1),
    "ask": lambda w: (
        w.base.got_exit(),
        w.base.got_break(),
        w.base.running,
        w.base.closed,
        w.base.method,
        w.base.features,
        w.base.get_signal_method(),
        w.base.get_num_events(7),
        w.base.get_max_events(7, True),
        w.base.get_npriorities(),
        repr(w.base),
    ),
    "time": lambda w: (
        w.base.gettimeofday_cached(),
        w.base.update_cache_time(),
        w.base.gettime_monotonic(),
    ),
    "look": lambda w: (w.base.get_events(), w.base.dump_events(), w.base.get_running_event()),
    "visit": lambda w: w.base.foreach_event(
        lambda base, ev, events: ev.close() if ev in events else None, w.events
    ),
    "stats": lambda w: w.base.stats(restart=True),
    "active_by_fd": lambda w: w.base.active_by_fd(w.near, EV_READ | EV_WRITE),
    "active_by_signal": lambda w: w.base.active_by_signal(signal.SIGUSR2),
    "watch": lambda w: (
        PrepareWatcher(w.base, lambda *_: None).close(),
        CheckWatcher(w.base, lambda *_: None).close(),
    ),
    "another base": lambda w: run_another(w.base.method),
    "raise a signal": lambda w: os.kill(os.getpid(), signal.SIGUSR2),
    "a thread": lambda w: run_thread(w),
    "exception_handler": lambda w: setattr(w.base, "exception_handler", w.base.exception_handler),
}


def run_another(backend):
    with EventBase(backend=backend) as base:
        base.once(-1, EV_TIMEOUT, lambda *_: None)
        base.dispatch()


def run_thread(world):
    """While the callback waits in Python, another thread changes everything."""

    def change():
        world.each(Event.delete)
        world.each(lambda ev: ev.add(0))
        world.base.once(-1, EV_TIMEOUT, world.other)

    thread = threading.Thread(target=change)
    thread.start()
    thread.join()


# Each arranges that `call` is called, as often as it comes, in the next loop of the world.


def from_io_event(world, call):
    Event(world.base, world.near, EV_WRITE, call).add()


def from_persistent_event(world, call):
    Event(world.base, world.near, EV_READ | EV_PERSIST, call).add(0.001)


def from_timer(world, call):
    Event.timer(world.base, call).add(0)


def from_active_event(world, call):
    Event(world.base, -1, 0, call).active()


def from_signal_event(world, call):
    Event.signal(world.base, signal.SIGUSR2, call).add()
    os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGUSR2)


def from_once(world, call):
    world.base.once(world.near, EV_READ, call)


def from_call_soon(world, call):
    world.base.call_soon_threadsafe(call, -1, 0, None)


def from_finalizer(world, call):
    """Of an event's argument, at the end of its callback."""

    class Dying:
        def __del__(self):
            call(-1, 0, None)

    Event.timer(world.base, lambda *_: None, Dying()).active()


def from_python_signal_handler(world, call):
    signal.signal(signal.SIGUSR1, lambda *_: call(-1, 0, None))
    world.base.call_soon_threadsafe(os.kill, os.getpid(), signal.SIGUSR1)


def from_exception_handler(world, call):
    world.base.exception_handler = lambda base, context: call(-1, 0, None)
    Event.timer(world.base, lambda *_: 1 / 0).active()


def from_prepare_watcher(world, call):
    PrepareWatcher(world.base, call)


def from_check_watcher(world, call):
    CheckWatcher(world.base, call)


CALLERS = [
    from_io_event,
    from_persistent_event,
    from_timer,
    from_active_event,
    from_signal_event,
    from_once,
    from_call_soon,
    from_finalizer,
    from_python_signal_handler,
    from_exception_handler,
    from_prepare_watcher,
    from_check_watcher,
]


@pytest.fixture
def restore_signal():
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("caller", CALLERS)
def test_everything_may_be_called(backend, no_leaked_fds, restore_signal, caller):
    """Nothing fails, nothing crashes, and the loop goes on afterwards."""
    for name, action in ACTIONS.items():
        failures = []
        calls = []

        near, far = socket.socketpair()
        with near, far, EventBase(backend=backend) as base:
            world = World(base, near, far)

            def call(*_, action=action, world=world, failures=failures, calls=calls):
                calls.append(1)
                if len(calls) > 3:
                    return
                try:
                    action(world)
                except BaseException as exc:
                    failures.append(exc)

            caller(world, call)
            base.call_soon_threadsafe(lambda: None)
            for _ in range(3):
                base.loop(ONE_TURN)
            base.loopexit(0.003)
            base.dispatch()
            assert calls, name
            assert failures == [], name
            seen = []
            base.once(-1, EV_TIMEOUT, lambda *_, seen=seen: seen.append(1))
            base.loop(ONE_TURN)
            assert seen == [1], name
