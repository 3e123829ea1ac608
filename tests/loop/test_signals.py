"""Signals and Python: Ctrl-C while the loop waits, handlers of Python, EV_SIGNAL events."""

import os
import signal
import socket
import threading
import time

import pytest

from pyevent import EV_PERSIST, EV_READ, EV_TIMEOUT, EVLOOP_ONCE, RAISE, Event, EventBase


@pytest.fixture(autouse=True)
def same_handlers_afterwards():
    numbers = (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    yield
    after = [signal.getsignal(number) for number in numbers]
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    assert after == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.fixture
def on_usr1():
    """Installs a Python handler of SIGUSR1 for the test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def when_waiting(base):
    """Calls a function from another thread once the base waits in the kernel."""
    threads = []

    def call(function):
        def run():
            while not base.running:
                time.sleep(0.0005)
            time.sleep(0.01)  # it also works before the wait, if that has not begun by now
            function()

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield call
    for thread in threads:
        thread.join()


def test_ctrl_c_while_waiting_raises_out_of_dispatch(base, when_waiting):
    ev = Event.timer(base, print)
    ev.add(30)
    when_waiting(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        base.dispatch()
    assert ev.pending
    assert not base.running


def test_ctrl_c_without_any_timeout_raises_out_of_dispatch(base, when_waiting, socketpair):
    Event(base, socketpair[0], EV_READ, print).add()
    when_waiting(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        base.dispatch()


def test_interrupt_after_the_wait_leaves_what_is_active_active(base, when_waiting, on_usr1):
    """The handler runs when the wait has ended: no callback comes between it and the raise."""
    seen = []
    due = Event.timer(base, lambda *_: seen.append("due"))

    def handler(number, frame):
        due.active(EV_TIMEOUT)
        raise KeyboardInterrupt

    on_usr1(handler)
    Event.timer(base, print).add(30)
    when_waiting(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(KeyboardInterrupt):
        base.dispatch()
    assert seen == []
    assert due.pending


def test_python_handler_runs_promptly_while_the_loop_waits(base, when_waiting, on_usr1):
    seen = []

    def handler(number, frame):
        seen.append(number)
        base.loopbreak()

    on_usr1(handler)
    Event.timer(base, print).add(30)
    when_waiting(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    start = time.monotonic()
    base.dispatch()
    assert seen == [signal.SIGUSR1]
    assert time.monotonic() - start < 10


def test_python_handler_runs_promptly_while_the_loop_is_busy(base, on_usr1):
    """Callbacks in C leave the interpreter no chance of its own to look for signals."""
    stop = []
    on_usr1(lambda *_: (stop.append(1), base.loopbreak()))
    Event(base, -1, EV_PERSIST, max, 0).add(1e-9)  # max(-1, EV_TIMEOUT, 0), for ever
    timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    start = time.monotonic()
    base.dispatch()
    timer.join()
    assert stop == [1]
    assert time.monotonic() - start < 10


def test_python_handler_may_use_the_base(base, when_waiting, on_usr1):
    seen = []
    on_usr1(lambda *_: Event.timer(base, lambda *_: seen.append(1)).add(0))
    base.loopexit(30)
    ev = Event.timer(base, lambda *_: (seen.append(2), base.loopbreak()))
    when_waiting(lambda: (os.kill(os.getpid(), signal.SIGUSR1), ev.add(0.05)))
    base.dispatch()
    assert seen == [1, 2]


def test_exception_of_a_python_handler_leaves_dispatch(base, when_waiting, on_usr1):
    def handler(number, frame):
        raise LookupError("in handler")

    on_usr1(handler)
    base.exception_handler = None
    Event.timer(base, print).add(30)
    when_waiting(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(LookupError, match="in handler"):
        base.dispatch()


# --- signal.set_wakeup_fd --------------------------------------------------------------


@pytest.fixture
def wakeup():
    """The reading end of what signal.set_wakeup_fd writes to."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        try:
            yield reader, writer.fileno()
        finally:
            signal.set_wakeup_fd(-1)


def test_earlier_wakeup_fd_is_restored_and_gets_its_bytes(base, when_waiting, on_usr1, wakeup):
    reader, fd = wakeup
    on_usr1(lambda *_: base.loopbreak())
    Event.timer(base, print).add(30)
    when_waiting(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    base.dispatch()
    assert reader.recv(9) == bytes([signal.SIGUSR1])
    assert signal.set_wakeup_fd(fd) == fd


def test_earlier_wakeup_fd_gets_what_came_in_the_last_callback(base, on_usr1, wakeup):
    reader, fd = wakeup
    on_usr1(lambda *_: None)
    Event.timer(base, lambda *_: (signal.raise_signal(signal.SIGUSR1), base.loopbreak())).add(0)
    base.dispatch()
    assert reader.recv(9) == bytes([signal.SIGUSR1])


def test_wakeup_fd_that_is_closed_meanwhile_is_not_restored(base):
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        Event.timer(base, lambda *_: writer.close()).add(0)
        base.dispatch()
    assert signal.set_wakeup_fd(-1) == -1


def test_wakeup_fd_set_in_a_callback_stays(base, socketpair):
    fd = socketpair[0].fileno()
    Event.timer(base, lambda *_: signal.set_wakeup_fd(fd)).add(0)
    base.dispatch()
    assert signal.set_wakeup_fd(-1) == fd


def test_bases_inside_each_other_restore_in_order(base, backend, when_waiting, on_usr1, wakeup):
    reader, fd = wakeup
    on_usr1(lambda *_: None)
    with EventBase(backend=backend, exception_handler=RAISE) as inner:

        def run_inner(fd, what, arg):
            base.once(-1, EV_TIMEOUT, lambda *_: None)
            Event.timer(inner, lambda *_: signal.raise_signal(signal.SIGUSR1)).add(0)
            Event.timer(inner, lambda *_: None).add(0.01)
            inner.dispatch()

        Event.timer(base, run_inner).add(0)
        base.dispatch()
    assert reader.recv(9) == bytes([signal.SIGUSR1])
    assert signal.set_wakeup_fd(fd) == fd


def test_no_selfpipe_is_left_after_dispatch_ends_by_exception(base):
    def fail(*_):
        raise LookupError

    Event.timer(base, fail).add(0)
    with pytest.raises(LookupError):
        base.dispatch()
    assert signal.set_wakeup_fd(-1) == -1


# --- EV_SIGNAL ---------------------------------------------------------------------------


def test_python_handler_comes_back_with_the_last_signal_event(base, on_usr1):
    seen = []
    on_usr1(lambda number, frame: seen.append("python"))
    events = [Event.signal(base, signal.SIGUSR1, lambda *_: seen.append("event")) for _ in "ab"]
    for ev in events:
        ev.add()
    signal.raise_signal(signal.SIGUSR1)
    base.loop(EVLOOP_ONCE)
    assert seen == ["event", "event"]
    events[0].delete()
    signal.raise_signal(signal.SIGUSR1)
    base.loop(EVLOOP_ONCE)
    assert seen == ["event"] * 3
    events[1].close()
    signal.raise_signal(signal.SIGUSR1)
    assert seen == ["event"] * 3 + ["python"]


def test_closing_the_base_gives_the_signal_back(backend, on_usr1):
    seen = []
    on_usr1(lambda number, frame: seen.append("python"))
    with EventBase(backend=backend) as base:
        Event.signal(base, signal.SIGUSR1, print).add()
    signal.raise_signal(signal.SIGUSR1)
    assert seen == ["python"]


def test_every_base_that_asks_gets_the_signal(base, backend):
    seen = []
    with EventBase(backend=backend, exception_handler=RAISE) as other:
        events = [
            Event.signal(each, signal.SIGUSR1, lambda fd, what, arg: seen.append(arg), name)
            for each, name in [(base, "base"), (other, "other")]
        ]
        for ev in events:
            ev.add()
        signal.raise_signal(signal.SIGUSR1)
        base.loop(EVLOOP_ONCE)
        other.loop(EVLOOP_ONCE)
    assert sorted(seen) == ["base", "other"]


def test_signal_event_of_sigint_replaces_keyboardinterrupt(base, when_waiting):
    seen = []
    ev = Event.signal(base, signal.SIGINT, lambda *_: (seen.append(1), base.loopbreak()))
    ev.add()
    when_waiting(lambda: os.kill(os.getpid(), signal.SIGINT))
    base.dispatch()
    assert seen == [1]
    ev.close()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


# --- other threads ---------------------------------------------------------------------------


def test_dispatch_works_in_a_thread_that_is_not_the_main_one(base, on_usr1):
    """It leaves the wake-up descriptor alone; a signal event comes there, too."""
    seen = []
    ev = Event.signal(base, signal.SIGUSR2, lambda *_: seen.append(threading.current_thread()))
    ev.add()
    base.loopexit(30)
    done = Event.timer(base, lambda *_: base.loopbreak())
    thread = threading.Thread(target=base.dispatch)
    thread.start()
    while not base.running:
        time.sleep(0.001)
    assert signal.set_wakeup_fd(-1) == -1
    os.kill(os.getpid(), signal.SIGUSR2)
    done.add(0.05)
    thread.join()
    ev.close()
    assert seen == [thread]


def test_main_thread_handles_signals_while_another_dispatches(base, on_usr1):
    seen = []
    on_usr1(lambda number, frame: seen.append(threading.current_thread()))
    base.loopexit(30)
    thread = threading.Thread(target=base.dispatch)
    thread.start()
    signal.raise_signal(signal.SIGUSR1)
    base.loopexit()
    thread.join()
    assert seen == [threading.main_thread()]
