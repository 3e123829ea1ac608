"""Other threads change a base while its loop waits in the kernel."""

import contextlib
import random
import socket
import threading
import time
import weakref

import pytest

from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EV_WRITE,
    EVENT_BASE_COUNT_ADDED,
    EVLOOP_NO_EXIT_ON_EMPTY,
    Event,
    EventBase,
)


@pytest.fixture
def waiting(base):
    """`with waiting():` runs the base in a thread that is in the kernel as far as one can tell."""

    @contextlib.contextmanager
    def run(flags=EVLOOP_NO_EXIT_ON_EMPTY):
        failures = []

        def loop():
            try:
                base.loop(flags)
            except BaseException as exc:
                failures.append(exc)

        ready = threading.Event()
        base.once(-1, EV_TIMEOUT, lambda *_: ready.set())
        thread = threading.Thread(target=loop)
        thread.start()
        assert ready.wait(10)
        time.sleep(0.005)  # all of this also holds if the wait has not begun
        try:
            yield thread
        finally:
            base.loopexit()
            thread.join(20)
            assert not thread.is_alive()
            assert failures == []

    return run


def test_add_reaches_a_waiting_loop(base, waiting, socketpair):
    near, far = socketpair
    called = threading.Event()
    with waiting() as thread:
        ev = Event(base, near, EV_READ, lambda *_: called.set())
        ev.add()
        far.send(b"x")
        assert called.wait(10)
        assert thread.is_alive()


def test_timer_reaches_a_waiting_loop(base, waiting):
    called = threading.Event()
    with waiting():
        Event.timer(base, lambda *_: called.set()).add(0.001)
        assert called.wait(10)


def test_active_reaches_a_waiting_loop(base, waiting):
    called = threading.Event()
    ev = Event(base, -1, 0, lambda *_: called.set())
    with waiting():
        for _ in range(3):
            called.clear()
            ev.active()
            assert called.wait(10)


def test_once_reaches_a_waiting_loop(base, waiting):
    called = threading.Event()
    with waiting():
        base.once(-1, EV_TIMEOUT, lambda *_: called.set())
        assert called.wait(10)


def test_callbacks_run_in_the_thread_of_dispatch(base, waiting):
    seen = []
    called = threading.Event()
    with waiting() as thread:
        ev = Event(base, -1, 0, lambda *_: (seen.append(threading.current_thread()), called.set()))
        ev.active()
        assert called.wait(10)
    assert seen == [thread]


@pytest.mark.parametrize("undo", [Event.delete, Event.close])
def test_no_call_begins_after_delete_or_close(base, waiting, socketpair, undo):
    near, far = socketpair
    seen = []
    with waiting():
        ev = Event(base, near, EV_READ | EV_PERSIST, lambda *_: seen.append(near.recv(9)))
        ev.add()
        undo(ev)
        far.send(b"x")
        time.sleep(0.01)
        assert seen == []


def test_delete_of_the_last_event_ends_the_loop(base, waiting, socketpair):
    ev = Event(base, socketpair[0], EV_READ, lambda *_: None)
    ev.add()
    with waiting(flags=0) as thread:
        ev.delete()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("call", ["delete", "close"])
def test_delete_and_close_do_not_wait_for_a_callback_that_runs(base, waiting, call):
    """What runs ends undisturbed, and the event is there until then."""
    inside, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def callback(fd, what, arg):
        inside.set()
        assert go_on.wait(10)
        assert arg == ["still here"]
        done.set()

    with waiting():
        ev = Event(base, -1, EV_PERSIST, callback, ["still here"])
        ev.add(0.001)
        assert inside.wait(10)
        getattr(ev, call)()
        del ev
        go_on.set()
        assert done.wait(10)


def test_loopbreak_ends_a_waiting_loop(base, waiting):
    with waiting() as thread:
        base.loopbreak()
        thread.join(10)
        assert not thread.is_alive()
        assert base.got_break()


def test_loopexit_ends_a_waiting_loop(base, waiting):
    with waiting() as thread:
        base.loopexit(0.001)
        thread.join(10)
        assert not thread.is_alive()
        assert base.got_exit()


def test_running_base_is_neither_closed_nor_run_twice(base, waiting):
    with waiting() as thread:
        assert base.running
        with pytest.raises(RuntimeError, match="while it runs"):
            base.close()
        with pytest.raises(RuntimeError, match="runs already"):
            base.dispatch()
        assert thread.is_alive()
        assert not base.closed


def test_dispatch_keeps_its_base(backend, no_leaked_fds):
    """Nobody else refers to it while the loop waits."""
    base = EventBase(backend=backend)
    is_alive = weakref.ref(base)
    base.loopexit(0.05)
    ended = []

    def close(base):
        ended.append(base.dispatch())
        base.close()

    thread = threading.Thread(target=close, args=(base,))
    thread.start()
    del base
    thread.join()
    assert ended == [0]
    del thread
    assert is_alive() is None


@pytest.mark.parametrize("callback", [max, lambda *_: None], ids=["C", "Python"])
def test_other_threads_run_while_the_loop_is_busy(base, waiting, callback):
    """The loop never has to wait: it gives other threads their turn nevertheless."""
    with waiting():
        busy = Event(base, -1, EV_PERSIST, callback, 0)
        busy.add(1e-9)
        start = time.monotonic()
        for _ in range(20):
            time.sleep(0)  # takes the GIL back each time
        busy.close()
        assert time.monotonic() - start < 20 * 0.1  # it is 0.02 s at most when nothing else runs


@pytest.mark.parametrize("backlog", [1, 100])
def test_many_wakes_are_not_lost(base, waiting, backlog):
    """Each activation is seen, however they fall relative to the wait."""
    count = threading.Semaphore(0)
    with waiting():
        events = [Event(base, -1, 0, lambda *_: count.release()) for _ in range(backlog)]
        for _ in range(1000 // backlog):
            for ev in events:
                ev.active()
            for _ in events:
                assert count.acquire(timeout=10)


def test_one_base_hammered_from_many_threads(base, waiting):
    """Nothing is lost, nothing crashes, and at the end nothing is left."""
    fired = []
    errors = []
    end = time.monotonic() + 1.0

    def hammer(seed):
        rng = random.Random(seed)
        near, far = socket.socketpair()
        events = [Event(base, near, EV_WRITE | rng.choice([0, EV_PERSIST]), callback)
                  for _ in range(5)]  # fmt: skip
        events += [Event.timer(base, callback) for _ in range(5)]
        try:
            while time.monotonic() < end:
                ev = rng.choice(events)
                action = rng.randrange(7)
                if action == 0:
                    ev.add(rng.choice([None, 0, 0.0005, 60]))
                elif action == 1:
                    ev.delete()
                elif action == 2:
                    ev.active(EV_TIMEOUT)
                elif action == 3:
                    ev.remove_timer()
                elif action == 4:
                    ev.close()
                    ev.__init__(base, near, EV_READ | EV_WRITE, callback)
                elif action == 5:
                    base.once(near, EV_WRITE, callback)
                else:
                    base.loopcontinue()
        except BaseException as exc:
            errors.append(exc)
        finally:
            for ev in events:
                ev.close()
            # The once events of this socket are to be gone before it is closed.
            left = threading.Event()
            base.once(-1, EV_TIMEOUT, lambda *_: left.set(), timeout=0.05)
            if not left.wait(10):
                errors.append("the loop stands still")
            near.close()
            far.close()

    def callback(fd, what, arg):
        fired.append(what)

    with waiting():
        threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert len(fired) > 100
    assert base.get_num_events(EVENT_BASE_COUNT_ADDED) == 0
