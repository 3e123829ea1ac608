"""The lines of the C core: to the logger "pyevent", or to a callback; debug lines on request."""

import gc
import logging
import os
import sys
import weakref

import pytest

import pyevent
from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_WRITE,
    EVENT_DBG_ALL,
    EVENT_DBG_NONE,
    EVENT_LOG_DEBUG,
    EVENT_LOG_MSG,
    EVLOOP_NONBLOCK,
    Event,
    EventBase,
)


@pytest.fixture(autouse=True)
def as_before():
    yield
    pyevent.event_set_log_callback(None)
    pyevent.event_enable_debug_logging(EVENT_DBG_NONE)


@pytest.fixture
def say(monkeypatch):
    """Has the core log a line: "pyevent using: epoll"."""
    monkeypatch.setenv("EVENT_SHOW_METHOD", "1")

    def say():
        with EventBase() as base:
            return f"pyevent using: {base.method}"

    return say


@pytest.fixture
def say_debug(socketpair):
    """Has the core log a debug line: a descriptor that is closed while it is watched."""

    def say_debug():
        with EventBase(backend=pyevent.backends()[0]) as base:
            fd = os.dup(socketpair[0].fileno())
            reader = Event(base, fd, EV_READ | EV_PERSIST, lambda *_: None)
            reader.add()
            base.loop(EVLOOP_NONBLOCK)
            os.close(fd)
            writer = Event(base, fd, EV_WRITE, lambda *_: None)
            try:
                writer.add()
            except OSError:
                return
            base.loop(EVLOOP_NONBLOCK)

    return say_debug


def test_lines_go_to_the_logger(say, caplog):
    caplog.set_level(logging.INFO)
    line = say()
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("pyevent", logging.INFO, line)


def test_nothing_is_written_to_stderr(say, capfd):
    say()
    assert capfd.readouterr() == ("", "")


def test_a_callback_gets_severity_and_text_instead(say, caplog):
    caplog.set_level(logging.DEBUG)
    seen = []
    pyevent.event_set_log_callback(lambda *args: seen.append(args))
    line = say()
    assert seen == [(EVENT_LOG_MSG, line)]
    pyevent.event_set_log_callback(None)
    assert caplog.records == []
    say()
    assert len(seen) == len(caplog.records) == 1


def test_a_callback_must_be_callable(say):
    seen = []
    pyevent.event_set_log_callback(lambda *args: seen.append(args))
    with pytest.raises(TypeError, match="callable"):
        pyevent.event_set_log_callback(3)
    say()
    assert len(seen) == 1  # the old one holds


def test_a_callback_that_fails_is_told_and_the_operation_goes_on(say, monkeypatch):
    def fail(severity, message):
        raise ValueError("no room for logs")

    lost = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, exc, traceback: lost.append(exc))
    pyevent.event_set_log_callback(fail)
    assert say()  # the base was made
    assert [str(exc) for exc in lost] == ["no room for logs"]


def test_a_callback_is_kept_and_let_go():
    class Callback:
        def __call__(self, severity, message):
            pass

    ref = weakref.ref(callback := Callback())
    pyevent.event_set_log_callback(callback)
    del callback
    gc.collect()
    assert ref() is not None
    pyevent.event_set_log_callback(None)
    assert ref() is None


def test_debug_lines_are_for_who_asks(say_debug):
    seen = []
    pyevent.event_set_log_callback(lambda *args: seen.append(args))
    say_debug()
    assert seen == []
    pyevent.event_enable_debug_logging(EVENT_DBG_ALL)
    say_debug()
    assert seen
    assert {severity for severity, _ in seen} == {EVENT_LOG_DEBUG}
    assert "cannot be watched" in seen[0][1]
    pyevent.event_enable_debug_logging(EVENT_DBG_NONE)
    del seen[:]
    say_debug()
    assert seen == []


def test_debug_mode_is_for_c_and_changes_nothing(run_python):
    run_python(
        """
        import pyevent

        pyevent.event_enable_debug_mode()
        with pyevent.EventBase(exception_handler=pyevent.RAISE) as base:
            seen = []
            for i in range(3):
                pyevent.Event(base, -1, 0, lambda fd, what, i: seen.append(i), i).add(0)
            assert base.dispatch() == 1
            assert seen == [0, 1, 2]
        pyevent.libevent_global_shutdown()
        assert set(pyevent.live_allocations().values()) == {0}, pyevent.live_allocations()
        """
    )


def test_debug_mode_is_refused_once_there_are_events(run_python):
    run_python(
        """
        import pyevent

        with pyevent.EventBase(exception_handler=pyevent.RAISE) as base:
            ev = pyevent.Event(base, -1, 0, print)
            for _ in range(2):
                try:
                    pyevent.event_enable_debug_mode()
                except RuntimeError as exc:
                    assert "before the first event" in str(exc), exc
                else:
                    raise AssertionError("not refused")
            ev.add(5)
            assert ev.pending
        with pyevent.EventBase() as base:
            pyevent.event_enable_debug_mode()
            ev = pyevent.Event(base, -1, 0, print)
            pyevent.event_enable_debug_mode()  # it is on already
            ev.add(5)
            assert ev.pending
        ev = pyevent.Event.__new__(pyevent.Event)
        pyevent.event_enable_debug_mode()
        """
    )


def test_debug_mode_forgets_events_that_have_gone(run_python):
    run_python(
        """
        import pyevent

        pyevent.event_enable_debug_mode()
        with pyevent.EventBase() as base:
            kept = [pyevent.Event(base, -1, 0, print) for _ in range(100)]
            before = pyevent.live_allocations()
            for _ in range(20):
                [pyevent.Event(base, -1, 0, print) for _ in range(100)]
                others = [bytes(200) for _ in range(100)]
            assert pyevent.live_allocations() == before
        """
    )


def test_global_shutdown_frees_what_belongs_to_no_base_and_all_works_again(run_python):
    run_python(
        """
        import os, signal
        import pyevent

        for _ in range(2):
            seen = []
            with pyevent.EventBase(exception_handler=pyevent.RAISE) as base:
                ev = pyevent.Event.signal(base, signal.SIGUSR1, lambda *args: seen.append(args))
                ev.add()
                os.kill(os.getpid(), signal.SIGUSR1)
                base.loop(pyevent.EVLOOP_ONCE)
            assert len(seen) == 1
            pyevent.libevent_global_shutdown()
            assert set(pyevent.live_allocations().values()) == {0}, pyevent.live_allocations()
        """
    )


def test_what_other_libraries_ask_for_is_there():
    assert pyevent.event_get_version() == pyevent.get_version()
    assert pyevent.event_get_version_number() == pyevent.LIBEVENT_VERSION_NUMBER
    assert pyevent.event_set_fatal_callback(print) is None
