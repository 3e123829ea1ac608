"""What an event does: when its callback runs, how often, and with what."""

import os
import signal
import time

import pytest

from pyevent import (
    EV_CLOSED,
    EV_ET,
    EV_FEATURE_EARLY_CLOSE,
    EV_FEATURE_ET,
    EV_PERSIST,
    EV_READ,
    EV_SIGNAL,
    EV_TIMEOUT,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    Event,
    EventFlag,
)


def recorder(seen):
    return lambda fd, what, arg: seen.append(what)


def test_event_without_persist_fires_once(base, socketpair):
    """A second byte doesn't wake an event that wasn't added again."""
    near, far = socketpair
    seen = []
    ev = Event(base, near, EV_READ, recorder(seen))
    ev.add(5)
    far.send(b"ab")
    assert base.dispatch() == 1
    assert seen == [EV_READ]
    assert not ev.pending


def test_persistent_event_fires_until_it_is_deleted(base, socketpair):
    near, far = socketpair
    seen = []

    def on_read(fd, what, arg):
        seen.append(near.recv(1))
        if len(seen) == 3:
            ev.delete()

    ev = Event(base, near, EV_READ | EV_PERSIST, on_read)
    ev.add()
    far.send(b"abcdef")
    assert base.dispatch() == 1
    assert seen == [b"a", b"b", b"c"]


def test_event_times_out_when_nothing_comes(base, socketpair):
    seen = []
    ev = Event(base, socketpair[0], EV_READ, recorder(seen))
    ev.add(0.01)
    base.dispatch()
    assert seen == [EV_TIMEOUT]
    assert not ev.pending


def test_timer_never_fires_early(base):
    start = base.gettime_monotonic()
    ended = []
    Event.timer(base, lambda *_: ended.append(base.gettime_monotonic())).add(0.02)
    base.dispatch()
    assert ended[0] - start >= 0.02


def test_timers_fire_by_deadline_and_equal_ones_in_order_of_adding(base):
    seen = []
    for name, seconds in [("late", 0.02), ("first", 0), ("second", 0), ("middle", 0.005)]:
        Event.timer(base, lambda fd, what, arg: seen.append(arg), name).add(seconds)
    base.dispatch()
    assert seen == ["first", "second", "middle", "late"]


def test_persistent_timer_fires_again_and_again(base):
    seen = []

    def tick(fd, what, arg):
        seen.append(what)
        if len(seen) == 5:
            ev.delete()

    ev = Event(base, -1, EV_PERSIST, tick)
    ev.add(0.001)
    base.dispatch()
    assert seen == [EV_TIMEOUT] * 5


def test_persistent_timer_of_zero_seconds_fires_once(base):
    seen = []
    ev = Event(base, -1, EV_PERSIST, recorder(seen))
    ev.add(0)
    base.dispatch()
    assert seen == [EV_TIMEOUT]


def test_pending_says_what_is_waited_for(base, socketpair):
    ev = Event(base, socketpair[0], EV_READ | EV_WRITE | EV_PERSIST, print)
    assert ev.pending == 0
    assert ev.pending is EventFlag(0)
    ev.add()
    assert ev.pending == EV_READ | EV_WRITE
    ev.add(60)
    assert ev.pending == EV_READ | EV_WRITE | EV_TIMEOUT
    assert ev.get_pending(EV_READ | EV_SIGNAL) == EV_READ
    ev.remove_timer()
    assert ev.pending == EV_READ | EV_WRITE
    ev.delete()
    assert not ev.pending


def test_deleting_takes_back_a_call_that_is_due(base, socketpair):
    near, far = socketpair
    seen = []
    events = [Event(base, end, EV_WRITE, lambda fd, what, arg: run(arg), i)
              for i, end in enumerate((near, far))]  # fmt: skip

    def run(number):
        seen.append(number)
        events[1 - number].delete()

    for ev in events:
        ev.add()
    base.dispatch()
    assert len(seen) == 1


def test_deleting_an_idle_event_is_no_error(base):
    ev = Event.timer(base, print)
    ev.delete()
    ev.add(60)
    ev.delete()
    ev.delete()
    assert base.dispatch() == 1


def test_event_may_be_added_again_in_its_callback(base):
    seen = []

    def again(fd, what, arg):
        assert not ev.pending  # it was deleted before the call
        seen.append(what)
        if len(seen) < 3:
            ev.add(0)

    ev = Event.timer(base, again)
    ev.add(0)
    base.dispatch()
    assert len(seen) == 3


def test_adding_again_replaces_the_timeout(base, socketpair):
    seen = []
    ev = Event(base, socketpair[0], EV_READ, recorder(seen))
    ev.add(60)
    ev.add(0.001)
    base.dispatch()
    assert seen == [EV_TIMEOUT]


def test_adding_again_without_timeout_keeps_the_old_one(base, socketpair):
    seen = []
    ev = Event(base, socketpair[0], EV_READ, recorder(seen))
    ev.add(0.001)
    ev.add()
    base.dispatch()
    assert seen == [EV_TIMEOUT]


def test_activity_restarts_the_timeout_of_a_persistent_event(base, socketpair):
    near, far = socketpair
    seen = []

    def on_read(fd, what, arg):
        seen.append(what)
        if what == EV_READ:
            near.recv(1)
        else:
            ev.delete()

    ev = Event(base, near, EV_READ | EV_PERSIST, on_read)
    ev.add(0.05)
    far.send(b"x")
    base.dispatch()
    assert seen == [EV_READ, EV_TIMEOUT]


def test_active_fires_an_event_that_is_not_pending(base):
    seen = []
    ev = Event(base, -1, 0, recorder(seen))
    ev.active(EV_READ)
    assert ev.pending == EV_READ
    assert base.dispatch() == 1
    assert seen == [EV_READ]


def test_active_without_flags_fires_an_event_nobody_refers_to(base):
    seen = []
    Event(base, -1, 0, recorder(seen)).active()
    base.dispatch()
    assert seen == [EventFlag(0)]


def test_activations_before_the_call_are_merged(base, socketpair):
    """One call, with all of the reasons."""
    near, far = socketpair
    far.send(b"x")
    seen = []
    ev = Event(base, near, EV_READ | EV_WRITE, recorder(seen))
    ev.add(60)
    ev.active(EV_TIMEOUT)
    base.dispatch()
    assert seen == [EV_READ | EV_WRITE | EV_TIMEOUT]


def test_read_and_write_readiness_come_in_one_call(base, socketpair):
    near, far = socketpair
    far.send(b"x")
    seen = []
    Event(base, near, EV_READ | EV_WRITE, recorder(seen)).add()
    base.dispatch()
    assert seen == [EV_READ | EV_WRITE]


def test_ncalls_counts_for_signal_events_only(base):
    seen = []
    timer = Event.timer(base, recorder(seen))
    timer.active(EV_TIMEOUT, 3)
    base.dispatch()
    assert seen == [EV_TIMEOUT]
    seen.clear()
    ev = Event(base, signal.SIGUSR1, EV_SIGNAL, recorder(seen))
    ev.active(EV_SIGNAL, ncalls=3)
    base.dispatch()
    assert seen == [EV_SIGNAL] * 3


def test_several_events_on_one_fd_all_fire(base, socketpair):
    near, far = socketpair
    seen = []
    events = [Event(base, near, EV_READ, recorder(seen)) for _ in range(3)]
    for ev in events:
        ev.add()
    events[1].delete()
    far.send(b"x")
    base.dispatch()
    assert seen == [EV_READ] * 2


def test_closed_side_is_reported_where_the_backend_can(base, socketpair):
    near, far = socketpair
    if not base.features & EV_FEATURE_EARLY_CLOSE:
        pytest.skip(f"{base.method} does not report EV_CLOSED")
    seen = []
    Event(base, near, EV_CLOSED, recorder(seen)).add()
    far.close()
    base.dispatch()
    assert seen == [EV_CLOSED]


def test_edge_triggered_event_does_not_fire_for_old_data(base, socketpair):
    near, far = socketpair
    if not base.features & EV_FEATURE_ET:
        pytest.skip(f"{base.method} has no edge-triggered events")
    seen = []
    ev = Event(base, near, EV_READ | EV_ET | EV_PERSIST, recorder(seen))
    ev.add()
    far.send(b"a")
    base.loop(EVLOOP_ONCE)
    base.loop(EVLOOP_NONBLOCK)
    assert len(seen) == 1
    far.send(b"b")
    base.loop(EVLOOP_ONCE)
    assert len(seen) == 2


def test_signal_event_takes_the_signal(base):
    seen = []
    ev = Event.signal(base, signal.SIGUSR1, lambda *args: (seen.append(args), ev.delete()), "arg")
    ev.add()
    os.kill(os.getpid(), signal.SIGUSR1)
    base.dispatch()
    assert seen == [(signal.SIGUSR1, EV_SIGNAL, "arg")]


def test_signal_event_nobody_refers_to_is_called_for_each_signal(base):
    """It is idle before its first call, and alive until its last."""
    seen = []
    Event(base, signal.SIGUSR1, EV_SIGNAL, recorder(seen)).add()
    for _ in range(3):
        signal.raise_signal(signal.SIGUSR1)
    base.dispatch()
    assert seen == [EV_SIGNAL] * 3


def test_deleting_a_signal_event_takes_back_the_calls_that_are_due(base):
    seen = []
    ev = Event.signal(base, signal.SIGUSR1, lambda *args: (seen.append(args), ev.delete()))
    ev.add()
    for _ in range(3):
        signal.raise_signal(signal.SIGUSR1)
    base.dispatch()
    assert len(seen) == 1


def test_closing_an_event_in_its_own_callback_is_safe(base, socketpair):
    near, far = socketpair
    ev = Event(base, near, EV_WRITE | EV_PERSIST, lambda *_: ev.close())
    ev.add(1)
    base.dispatch()
    assert ev.closed
    ev.close()  # again: nothing


def test_once_needs_nothing_kept(base, socketpair):
    near, far = socketpair
    seen = []
    base.once(near, EV_READ, lambda *args: seen.append(args), "arg", timeout=60)
    far.send(b"x")
    base.dispatch()
    assert seen == [(near.fileno(), EV_READ, "arg")]


def test_once_without_fd_and_time_runs_in_this_turn_in_order_of_calls(base):
    seen = []
    for i in range(3):
        base.once(-1, EV_TIMEOUT, lambda fd, what, arg: seen.append(arg), i)
    base.once(None, EV_TIMEOUT, recorder(seen), timeout=0.001)
    base.dispatch()
    assert seen == [0, 1, 2, EV_TIMEOUT]


@pytest.mark.parametrize("what", [EV_SIGNAL, EV_READ | EV_PERSIST, 0])
def test_once_refuses_what_is_not_once(base, what):
    with pytest.raises(ValueError, match="once"):
        base.once(0, what, print)


def test_waiting_longer_than_the_kernel_can_is_no_error(base):
    """Times beyond the clock's range become its maximum."""
    for seconds in (1e300, 2**80, 2**62):
        ev = Event.timer(base, print)
        ev.add(seconds)
        base.loop(EVLOOP_NONBLOCK)
        assert ev.pending
        ev.delete()


def test_cached_time_stands_still_in_a_callback_until_renewed(base):
    def check(fd, what, arg):
        first = base.gettimeofday_cached()
        while time.time() < first + 0.002:
            pass
        assert base.gettimeofday_cached() == pytest.approx(first, abs=1e-4)
        base.update_cache_time()
        assert base.gettimeofday_cached() > first + 0.001

    Event.timer(base, check).add(0)
    base.dispatch()
    assert base.gettimeofday_cached() == pytest.approx(time.time(), abs=0.5)
