"""What a base tells about itself, and events that are made active or found by hand."""

import gc
import io
import logging
import os
import re
import signal
import sys
import time
import weakref

import pytest

import pyevent
from pyevent import (
    EV_CLOSED,
    EV_PERSIST,
    EV_READ,
    EV_SIGNAL,
    EV_TIMEOUT,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    BufferEvent,
    Event,
    EventBase,
    Listener,
)


class Failure(Exception):
    pass


def fail(*args):
    raise Failure("oops")


# --- statistics -----------------------------------------------------------------------------


def test_stats_count_from_when_they_are_first_asked_for(base, socketpair):
    near, far = socketpair
    base.once(-1, EV_TIMEOUT, lambda *_: None)
    base.dispatch()  # before: not counted
    assert base.stats()["turns"] == 0
    Event(base, near, EV_READ, lambda *_: None).add()
    far.send(b"x")
    base.once(-1, EV_TIMEOUT, lambda *_: None, timeout=0.001)
    usr1 = Event(base, signal.SIGUSR1, EV_SIGNAL, lambda *_: None)
    usr1.add()
    os.kill(os.getpid(), signal.SIGUSR1)
    Event.timer(base, lambda *_: None).active()
    assert base.dispatch() == 1
    stats = base.stats()
    assert stats["callbacks"] == 4
    kinds = {name: stats[name] for name in ("io", "timeouts", "signals", "others")}
    assert kinds == {"io": 1, "timeouts": 1, "signals": 1, "others": 1}
    assert 1 <= stats["waits"] <= stats["turns"]
    assert stats["most_ready"] >= 1
    assert stats["max_events"] >= 3


def test_stats_tell_where_the_time_goes(base):
    base.stats()
    base.once(-1, EV_TIMEOUT, lambda *_: time.sleep(0.02), timeout=0.02)
    base.dispatch()
    stats = base.stats()
    assert stats["wait_seconds"] >= 0.019
    assert stats["callback_seconds"] >= 0.019


def test_stats_start_anew_when_told(base):
    base.stats()
    for _ in range(3):
        Event.timer(base, lambda *_: None).active()
    base.dispatch()
    stats = base.stats(restart=True)
    assert stats["callbacks"] == stats["most_callbacks"] == 3
    assert base.stats()["callbacks"] == 0
    Event.timer(base, lambda *_: None).active()
    base.dispatch()
    assert base.stats()["callbacks"] == 1


def test_stats_may_start_anew_in_a_callback(base):
    base.stats()
    for _ in range(3):
        Event.timer(base, lambda *_: None).active()
    Event.timer(base, lambda *_: base.stats(restart=True)).active()
    Event.timer(base, lambda *_: None).active()
    base.dispatch()
    stats = base.stats()
    assert stats["callbacks"] == stats["most_callbacks"] == 1


def test_stats_count_turns_that_flush_output(base, socketpair):
    base.stats()
    bev = BufferEvent(base, socketpair[0])
    bev.write(b"x")  # outside any callback: goes out at the end of the turn
    base.loop(EVLOOP_NONBLOCK)
    assert base.stats()["flushes"] == 1
    bev.close()


# --- slow callbacks ---------------------------------------------------------------------------


def slow(*args):
    time.sleep(0.02)


@pytest.fixture
def watchful(backend, no_leaked_fds):
    with EventBase(backend=backend, slow_callback=0.01) as base:
        yield base


def test_a_slow_callback_is_logged_with_its_name_and_duration(watchful, caplog):
    ev = Event.timer(watchful, slow)
    ev.add(0)
    watchful.once(-1, EV_TIMEOUT, lambda *_: None)  # a fast one is not
    watchful.dispatch()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pyevent", logging.WARNING)
    name, source, seconds = record.args
    assert name == "slow"
    assert source is ev
    assert 0.02 <= seconds < 30
    assert "slow callback: slow of " in caplog.text


def test_slow_callbacks_of_streams_listeners_and_watchers_are_logged(watchful, caplog, socketpair):
    near, far = socketpair
    bev = BufferEvent(watchful, near)
    bev.setcb(slow, None, None)
    bev.enable(EV_READ)
    far.send(b"x")
    with pyevent.CheckWatcher(watchful, slow):
        watchful.loop(EVLOOP_ONCE)
    bev.close()
    assert {type(record.args[1]).__name__ for record in caplog.records} == {
        "BufferEvent",
        "CheckWatcher",
    }


def test_a_slow_callback_that_fails_is_logged_as_both(watchful, caplog):
    def slow_failure(*args):
        slow()
        raise Failure("oops")

    Event.timer(watchful, slow_failure).add(0)
    watchful.dispatch()
    warning, error = caplog.records
    assert warning.levelno == logging.WARNING
    assert "slow_failure" in warning.args[0]
    assert isinstance(error.exc_info[1], Failure)


def test_a_slow_call_from_another_thread_is_logged_under_its_own_name(watchful, caplog):
    watchful.call_soon_threadsafe(slow)
    watchful.dispatch()
    assert caplog.records[0].args[0] == "slow"


def test_slow_callback_can_be_changed_and_read(base, caplog):
    assert base.slow_callback is None
    Event.timer(base, slow).add(0)
    base.dispatch()
    base.slow_callback = 0.01
    assert base.slow_callback == pytest.approx(0.01)
    base.slow_callback = None
    Event.timer(base, slow).add(0)
    base.dispatch()
    assert caplog.records == []
    with pytest.raises(ValueError, match="negative"):
        base.slow_callback = -1


def test_logging_of_a_slow_callback_that_fails_ends_no_loop(watchful, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: told.append(str(info.exc_value)))
    monkeypatch.setattr(pyevent.errors, "log_slow", fail)
    Event.timer(watchful, slow).add(0)
    assert watchful.dispatch() == 1
    assert told == ["oops"]


def test_a_slow_callback_that_closes_its_object_is_logged(watchful, caplog):
    def close_slowly(source, *args):
        source.close()
        slow()

    timer = Event.timer(watchful, lambda fd, what, arg: close_slowly(timer))
    timer.add(0)
    pyevent.PrepareWatcher(watchful, close_slowly)
    watchful.dispatch()
    assert [repr(record.args[1]) for record in caplog.records] == [
        "<PrepareWatcher closed>",
        "<Event closed>",
    ]


# --- finding events -------------------------------------------------------------------------------


@pytest.fixture
def crowd(base, socketpair):
    """Pending, active and idle events of every kind: those that are to be found."""
    near, _ = socketpair
    events = {
        "reader": Event(base, near, EV_READ | EV_PERSIST, print),
        "with timeout": Event(base, near, EV_WRITE, print),
        "timer": Event.timer(base, print),
        "signal": Event.signal(base, signal.SIGUSR2, print),
        "active": Event.timer(base, print),
    }
    events["reader"].add()
    events["with timeout"].add(60)
    events["timer"].add(60)
    events["signal"].add()
    events["active"].active()
    idle = Event.timer(base, print)
    yield events
    idle.close()


def test_get_events_gives_what_is_pending_or_active_once_each(base, crowd):
    found = base.get_events()
    assert len(found) == len(crowd)
    assert set(found) == set(crowd.values())
    for ev in found:
        ev.close()
    assert base.get_events() == []


def test_get_events_leaves_connections_and_listeners_out(base, socketpair):
    bev = BufferEvent(base, socketpair[0])
    bev.enable(EV_READ)
    listener = Listener(base, ("127.0.0.1", 0), print)
    assert base.get_events() == []
    assert base.dump_events().count("\n") == 2
    listener.close()
    bev.close()


def test_foreach_event_visits_until_an_answer(base, crowd):
    seen = []

    def visit(got_base, ev, arg):
        assert got_base is base
        seen.append(ev)
        return arg if len(seen) == 2 else 0

    assert base.foreach_event(visit, "enough") == "enough"
    assert len(seen) == 2
    assert base.foreach_event(lambda *_: None) == 0
    assert base.foreach_event(lambda base, ev, arg: 0) == 0
    with pytest.raises(Failure):
        base.foreach_event(fail)


def test_foreach_event_may_change_events(base, crowd):
    assert base.foreach_event(lambda base, ev, arg: ev.close()) == 0
    assert base.get_num_events(pyevent.EVENT_BASE_COUNT_ADDED) == 0


def test_an_event_that_was_found_is_kept_by_who_found_it(base):
    ref = weakref.ref(ev := Event.timer(base, print))
    ev.add(60)
    del ev
    found = base.get_events()
    ref().delete()
    assert ref() is found[0]
    del found
    gc.collect()
    assert ref() is None


def test_dump_events_is_a_table_of_all(base, crowd, socketpair):
    file = io.StringIO()
    text = base.dump_events(file)
    assert file.getvalue() == text
    text = re.sub(r"(59|60)\.\d+ s", "a minute", text)
    first, head, *rows = text.splitlines()
    assert first == repr(base)
    assert re.split("  +", head) == [
        "kind",
        "fd",
        "waits for",
        "due in",
        "active",
        "priority",
        "callback",
    ]
    assert len(rows) == len(crowd)
    fd = str(socketpair[0].fileno())
    assert sum(row.split()[:2] == ["fd", fd] for row in rows) == 2
    usr2 = str(int(signal.SIGUSR2))
    assert sorted(row.split()[:-1] for row in rows if row.split()[:2] != ["fd", fd]) == [
        ["signal", usr2, "EV_SIGNAL|EV_PERSIST", "0"],
        ["timer", "a", "minute", "0"],
        ["timer", "yes", "0"],
    ]
    assert any("EV_WRITE " in row and "a minute" in row for row in rows)
    assert all(row.endswith("  print") for row in rows)


def test_dump_events_names_the_user_s_function(base):
    base.call_soon_threadsafe(slow)
    assert base.dump_events().splitlines()[-1].endswith(" slow")
    base.dispatch()


def test_running_event_is_known_in_its_callback(base):
    seen = []

    def callback(fd, what, arg):
        seen.append(base.get_running_event())

    assert base.get_running_event() is None
    first, second = Event.timer(base, callback), Event.timer(base, callback)
    first.active()
    second.active()
    base.dispatch()
    assert seen == [first, second]
    assert base.get_running_event() is None


def test_running_event_is_none_in_a_callback_of_a_connection(base, socketpair):
    near, far = socketpair
    seen = []
    bev = BufferEvent(base, near)
    bev.setcb(lambda bev, arg: seen.append(base.get_running_event()), None, None)
    bev.enable(EV_READ)
    far.send(b"x")
    base.loop(EVLOOP_ONCE)
    assert seen == [None]
    bev.close()


def test_running_event_that_closed_itself_is_still_itself(base):
    def callback(fd, what, ev):
        ev[0].close()
        seen.append(base.get_running_event())

    seen, holder = [], []
    holder.append(Event.timer(base, callback, holder))
    holder[0].active()
    base.dispatch()
    assert seen in ([holder[0]], [None])


# --- making active --------------------------------------------------------------------------------


def test_active_by_fd_touches_what_waits_for_it(base, socketpair):
    near, far = socketpair
    seen = []

    def note(fd, what, name):
        seen.append((name, what))

    Event(base, near, EV_READ, note, "reader").add()
    Event(base, near, EV_READ, note, "reader with timeout").add(60)
    Event(base, far, EV_READ, note, "other fd").add()
    Event(base, near, EV_READ, note, "not added")
    base.active_by_fd(near, EV_READ)
    base.loop(EVLOOP_NONBLOCK)
    assert sorted(seen) == [("reader", EV_READ), ("reader with timeout", EV_READ)]


def test_active_by_fd_with_a_timeout_is_for_those_that_have_one(base, socketpair):
    near, _ = socketpair
    seen = []
    Event(base, near, EV_READ, lambda fd, what, arg: seen.append("plain")).add()
    Event(base, near, EV_READ, lambda fd, what, arg: seen.append(what)).add(60)
    base.active_by_fd(near.fileno(), EV_TIMEOUT)
    base.loop(EVLOOP_NONBLOCK)
    assert seen == [EV_TIMEOUT]


def test_active_by_fd_on_a_number_nobody_watches_does_nothing(base):
    base.active_by_fd(99, EV_READ | EV_WRITE | EV_CLOSED)
    assert base.dispatch() == 1
    with pytest.raises(TypeError):
        base.active_by_fd("x", EV_READ)


def test_active_by_signal_calls_its_events_once(base):
    seen = []
    for name in ("one", "two"):
        Event.signal(base, signal.SIGUSR1, lambda *args: seen.append(args), name).add()
    other = Event.signal(base, signal.SIGUSR2, lambda *args: seen.append(args), "other")
    other.add()
    base.active_by_signal(signal.SIGUSR1)
    base.loop(EVLOOP_NONBLOCK)
    assert sorted(seen) == [(signal.SIGUSR1, EV_SIGNAL, "one"), (signal.SIGUSR1, EV_SIGNAL, "two")]


# --- common timeouts ------------------------------------------------------------------------------


def test_a_common_timeout_is_a_timeout(base):
    seconds = base.init_common_timeout(0.001)
    seen = []
    for i in range(10):
        Event(base, -1, 0, lambda fd, what, i: seen.append(i), i).add(seconds)
    base.dispatch()
    assert seen == list(range(10))


def test_256_common_timeouts_are_the_limit(base):
    for i in range(256):
        base.init_common_timeout(i + 1)
    assert base.init_common_timeout(1) == 1  # known already
    with pytest.raises(OSError, match="space"):
        base.init_common_timeout(1000)
    with pytest.raises(ValueError, match="negative"):
        base.init_common_timeout(-1)


# --- finalizers -----------------------------------------------------------------------------------


def test_a_finalizer_is_the_last_call_from_the_loop(base):
    seen = []
    ev = Event(base, -1, EV_PERSIST, lambda *_: seen.append("callback"), "arg")
    ev.add(0.001)
    ev.active(EV_TIMEOUT)
    ev.finalize(lambda *args: seen.append(args))
    assert seen == []
    assert ev.closed
    with pytest.raises(RuntimeError, match="closed"):
        ev.add()
    assert base.dispatch() == 1
    assert seen == [(ev, "arg")]


def test_a_finalizer_runs_after_the_callback_that_asked_for_it(base):
    seen = []

    def callback(fd, what, arg):
        ev.finalize(lambda *_: seen.append("finalizer"))
        seen.append("callback")

    ev = Event.timer(base, callback)
    ev.active()
    base.dispatch()
    assert seen == ["callback", "finalizer"]


def test_closing_the_base_calls_the_finalizers_that_are_due(backend):
    seen = []
    base = EventBase(backend=backend)
    for i in range(3):
        Event(base, -1, 0, print, i).finalize(lambda ev, arg: seen.append((arg, ev.closed)))
    base.close()
    assert seen == [(0, True), (1, True), (2, True)]


def test_dropping_the_base_calls_the_finalizers_that_are_due(backend):
    seen = []
    Event(EventBase(backend=backend), -1, 0, print, "arg").finalize(
        lambda ev, arg: seen.append(arg)
    )
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
    assert seen == ["arg"]


def test_a_finalizer_that_fails_goes_to_the_handler(backend, caplog):
    with EventBase(backend=backend) as base:
        Event.timer(base, print).finalize(fail)
        base.dispatch()
        assert "oops" in caplog.text
        assert repr(fail) in caplog.text  # the user's function, not ours
        caplog.clear()
        Event.timer(base, print).finalize(fail)
    assert "oops" in caplog.text


def test_a_finalizer_that_fails_while_the_base_closes_can_be_raised(backend):
    base = EventBase(backend=backend, exception_handler=pyevent.RAISE)
    Event.timer(base, print).finalize(fail)
    with pytest.raises(Failure):
        base.close()
    assert base.closed


def test_a_finalizer_is_needed_and_kept_no_longer_than_its_call(base):
    ev = Event.timer(base, print)
    with pytest.raises(TypeError, match="callable"):
        ev.finalize(None)
    assert not ev.closed

    class Finalizer:
        def __call__(self, ev, arg):
            pass

    ref = weakref.ref(finalizer := Finalizer())
    ev.finalize(finalizer)
    del finalizer
    assert ref() is not None
    base.dispatch()
    gc.collect()
    assert ref() is None


# --- flat names -----------------------------------------------------------------------------------


def test_flat_names_finalize(base):
    seen = []
    for name in ("event_finalize", "event_free_finalize"):
        ev = pyevent.event_new(base, -1, 0, print, name)
        getattr(pyevent, name)(0, ev, lambda ev, arg: seen.append(arg))
    pyevent.event_base_dispatch(base)
    assert seen == ["event_finalize", "event_free_finalize"]


def test_flat_names_of_threads_succeed(base):
    assert pyevent.evthread_use_pthreads() == 0
    assert pyevent.evthread_use_pthreads_with_flags(1) == 0
    assert pyevent.evthread_make_base_notifiable(base) == 0
    assert pyevent.evthread_enable_lock_debugging() is None


def test_flat_names_are_the_same_callables():
    for name in (
        "active_by_fd",
        "active_by_signal",
        "dump_events",
        "foreach_event",
        "get_running_event",
        "init_common_timeout",
    ):
        assert getattr(pyevent, f"event_base_{name}") is getattr(EventBase, name)
