"""Signals at a thousand random moments: none is lost, none is noticed later than a wake-up.

An interval timer of the system raises the next one at a random time after the last has been
noticed, so one that is not noticed breaks the chain, and the loop's time limit ends the test.
"""

import contextlib
import random
import signal
import threading

import pytest

from pyevent import EV_PERSIST, EV_SIGNAL, EV_TIMEOUT, EVLOOP_NONBLOCK, Event, EventBase

COUNT = 1000
LIMIT = 50  # seconds; far from what it takes


@pytest.fixture
def chain(base):
    """chain(notice): raises SIGALRM again and again, ends the loop after COUNT of them.

    It gives the function to be called for each signal that is noticed.
    """
    rng = random.Random(1)
    noticed = []

    def set_next():
        signal.setitimer(signal.ITIMER_REAL, rng.choice([1e-6, 2e-5, 1e-4, 5e-4, 1e-3]))

    def notice(*args):
        noticed.append(1)
        if len(noticed) < COUNT:
            set_next()
        else:
            base.loopbreak()

    before = signal.getsignal(signal.SIGALRM)
    notice.start = set_next
    notice.count = lambda: len(noticed)
    yield notice
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def limited(base):
    with Event.timer(base, lambda *_: base.loopexit()) as limit:
        limit.add(LIMIT)
        yield


def test_python_handlers_in_an_idle_loop(base, chain):
    """Each ends a wait, and no more than one further wait ends for its byte."""
    signal.signal(signal.SIGALRM, chain)
    with limited(base):
        base.stats()
        base.once(-1, EV_TIMEOUT, lambda *_: chain.start())
        base.dispatch()
        assert chain.count() == COUNT
        assert base.stats()["turns"] <= 2 * COUNT + 2


def test_python_handlers_in_a_busy_loop(base, chain):
    """Its callbacks are in C: between them Python has no chance to run a handler."""
    signal.signal(signal.SIGALRM, chain)
    with limited(base):
        Event(base, -1, EV_PERSIST, max, 0).add(1e-9)  # max(-1, EV_TIMEOUT, 0), for ever
        base.once(-1, EV_TIMEOUT, lambda *_: chain.start())
        base.dispatch()
    assert chain.count() == COUNT


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_signal_events(base, chain, is_busy):
    with limited(base), Event.signal(base, signal.SIGALRM, chain) as ev:
        ev.add()
        if is_busy:
            Event(base, -1, EV_PERSIST, max, 0).add(1e-9)
        base.once(-1, EV_TIMEOUT, lambda *_: chain.start())
        base.dispatch()
    assert chain.count() == COUNT


def test_a_busy_loop_runs_the_handler_when_its_wait_returns(base):
    """The turn in which it is noticed is the turn in which it came."""
    turns, late = [], []
    noticed = threading.Event()

    def handler(number, frame):
        late.append(base.stats()["turns"] - turns[-1])
        noticed.set()

    def send():
        for _ in range(30):
            turns.append(None)
            noticed.clear()
            # In this thread, so the signal has been caught when the call returns. The loop
            # lets us in only around its wait.
            turns[-1] = base.stats()["turns"]
            signal.pthread_kill(threading.get_ident(), signal.SIGALRM)
            assert noticed.wait(30)
        base.loopexit()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        base.stats()
        Event(base, -1, EV_PERSIST, max, 0).add(1e-9)
        thread = threading.Thread(target=send)
        base.once(-1, EV_TIMEOUT, lambda *_: thread.start())
        base.dispatch()
        thread.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(late) == 30
    assert max(late) <= 1


def test_several_events_of_several_bases_are_each_called_for_each_signal(backend, no_leaked_fds):
    rng = random.Random(2)
    counts = {}

    def count(number, what, key):
        counts[key] += 1

    with contextlib.ExitStack() as stack:
        bases = [stack.enter_context(EventBase(backend=backend)) for _ in range(3)]
        for i, base in enumerate(bases):
            for k in range(3):
                counts[i, k] = 0
                Event(base, signal.SIGALRM, EV_SIGNAL | EV_PERSIST, count, (i, k)).add()
        for _ in range(COUNT):
            signal.raise_signal(signal.SIGALRM)
            if rng.randrange(3) == 0:
                rng.choice(bases).loop(EVLOOP_NONBLOCK)
        for base in bases:
            base.loop(EVLOOP_NONBLOCK)
    assert set(counts.values()) == {COUNT}
    assert len(counts) == 9
