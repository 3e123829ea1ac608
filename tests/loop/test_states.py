"""A base is idle, starting, running or closing, and of two who want it one is refused."""

import signal
import sys
import threading

import pytest

from pyevent import EV_PERSIST, EV_READ, EV_TIMEOUT, RAISE, Event, EventBase


@pytest.fixture
def switching_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_thread(function):
    """What it raised in a thread of its own, or None."""
    raised = []

    def run():
        try:
            function()
        except BaseException as exc:
            raised.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return raised[0] if raised else None


def test_a_base_that_starts_is_not_closed_nor_run_by_others(base, monkeypatch):
    """Python code runs before the loop does, and after it."""
    original = signal.set_wakeup_fd
    refused = []

    def meddling(*args, **kwargs):
        for use in (base.close, base.dispatch, base.__init__):
            with pytest.raises(RuntimeError, match=r"runs|already"):
                use()
            refused.append(in_thread(use))
        assert base.running
        return original(*args, **kwargs)

    monkeypatch.setattr(signal, "set_wakeup_fd", meddling)
    base.once(-1, EV_TIMEOUT, lambda *_: None)
    assert base.dispatch() == 1
    assert len(refused) == 6  # when it starts, and when it ends
    assert {type(exc) for exc in refused} == {RuntimeError}
    assert not base.running


@pytest.mark.parametrize("when", ["at the start", "at the end"])
def test_a_base_that_fails_to_start_or_to_end_is_idle_again(base, monkeypatch, when):
    original = signal.set_wakeup_fd
    calls = []

    def failing(fd, **kwargs):
        calls.append(fd)
        if len(calls) == 1 + (when == "at the end"):
            original(-1)
            raise KeyError("no wakeup")
        return original(fd, **kwargs)

    monkeypatch.setattr(signal, "set_wakeup_fd", failing)
    with pytest.raises(KeyError, match="no wakeup"):
        base.dispatch()
    monkeypatch.undo()
    assert not base.running
    assert signal.set_wakeup_fd(-1) == -1
    assert base.dispatch() == 1


def test_a_failure_that_was_left_leaves_the_base_idle(base):
    def fail(ev, arg):
        raise KeyError("finalizer")

    Event.timer(base, print).finalize(fail)
    with pytest.raises(KeyError, match="finalizer"):
        base.dispatch()
    assert not base.running
    assert base.dispatch() == 1


def race(base, spins):
    """dispatch() in a thread against close() in this one: what was raised."""
    failures = []

    def loop():
        try:
            base.dispatch()
        except Exception as exc:
            failures.append(exc)

    thread = threading.Thread(target=loop)
    thread.start()
    for _ in range(spins):
        pass
    try:
        base.close()
    except Exception as exc:
        failures.append(exc)
    thread.join(20)
    assert not thread.is_alive()
    return failures


def test_dispatch_and_close_in_two_threads_leave_one_of_them(backend, switching_often):
    for i in range(200):
        base = EventBase(backend=backend)
        base.loopexit(0.0005)
        assert {type(exc) for exc in race(base, i * 3)} <= {RuntimeError}
        base.close()
        assert base.closed


def test_a_signal_handler_cannot_close_a_base_that_starts(base):
    refused = []

    def handler(number, frame):
        try:
            base.close()
        except RuntimeError as exc:
            refused.append(exc)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        base.call_soon_threadsafe(signal.raise_signal, signal.SIGUSR1)
        base.loopexit(0.01)
        base.dispatch()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(refused) == 1


def test_a_finalizer_s_thread_cannot_run_a_base_that_is_being_closed(backend):
    answers = {}

    class Meddling:
        def __del__(self):
            for name in ("dispatch", "close", "reinit", "get_method"):
                answers[name] = in_thread(getattr(base, name))
            base.close()  # which this thread does already

    base = EventBase(backend=backend)
    Event.timer(base, print, Meddling()).add(60)
    base.close()
    assert base.closed
    assert {name: type(exc) for name, exc in answers.items()} == dict.fromkeys(
        answers, RuntimeError
    )
    assert len(answers) == 4
    assert all("being closed" in str(exc) for exc in answers.values())


def test_reinit_is_refused_while_another_thread_waits(base, socketpair):
    """Which waits with the very descriptors, and the memory, that it would replace."""
    near, far = socketpair
    seen = []
    ready = threading.Event()
    Event(base, near, EV_READ | EV_PERSIST, lambda *_: (seen.append(near.recv(9)), end())).add()
    base.once(-1, EV_TIMEOUT, lambda *_: ready.set())

    def end():
        if b"end" in seen[-1]:
            base.loopexit()

    thread = threading.Thread(target=base.dispatch)
    thread.start()
    assert ready.wait(10)
    for _ in range(100):
        with pytest.raises(RuntimeError, match="another thread"):
            base.reinit()
    far.send(b"end")
    thread.join(20)
    assert not thread.is_alive()
    assert seen == [b"end"]
    base.reinit()


def test_a_loop_in_a_thread_that_threading_does_not_know_runs(backend):
    """Who the main thread is, is asked without running Python code."""
    import _thread

    done = threading.Event()
    seen = []

    def run():
        with EventBase(backend=backend, exception_handler=RAISE) as base:
            base.loopexit(0.001)
            seen.append(base.dispatch())
            seen.append({type(thread).__name__ for thread in threading.enumerate()})
        done.set()

    _thread.start_new_thread(run, ())
    assert done.wait(10)
    assert seen[0] == 0
    assert "_DummyThread" not in seen[1]
