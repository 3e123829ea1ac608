"""The loop itself: how it is ended, what it returns, priorities, backends, names."""

import time

import pytest

import pyevent
from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EV_WRITE,
    EVENT_BASE_COUNT_ACTIVE,
    EVENT_BASE_COUNT_ADDED,
    EVLOOP_NO_EXIT_ON_EMPTY,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    Event,
    EventBase,
    EventConfig,
    Feature,
)


def test_flat_names_are_the_same_callables():
    for flat, method in {
        "event_base_new": EventBase,
        "event_base_free": EventBase.close,
        "event_base_dispatch": EventBase.dispatch,
        "event_base_loop": EventBase.loop,
        "event_base_once": EventBase.once,
        "event_new": Event,
        "event_free": Event.close,
        "event_add": Event.add,
        "event_del": Event.delete,
        "event_pending": Event.get_pending,
        "evtimer_add": Event.add,
        "evsignal_del": Event.delete,
        "event_config_new": EventConfig,
    }.items():
        assert getattr(pyevent, flat) is method, flat
        assert flat in pyevent.__all__
    assert pyevent.evtimer_new == Event.timer
    assert pyevent.evsignal_new == Event.signal


def test_a_program_in_flat_names_runs(socketpair):
    near, far = socketpair
    seen = []

    def on_read(fd, what, base):
        seen.append(near.recv(100))
        pyevent.event_base_loopexit(base, None)

    base = pyevent.event_base_new()
    ev = pyevent.event_new(base, near, pyevent.EV_READ | pyevent.EV_PERSIST, on_read, base)
    pyevent.event_add(ev, None)
    assert pyevent.event_pending(ev, pyevent.EV_READ) == pyevent.EV_READ
    far.send(b"hello")
    assert pyevent.event_base_dispatch(base) == 0
    pyevent.event_del(ev)
    pyevent.event_free(ev)
    pyevent.event_base_free(base)
    assert seen == [b"hello"]


def test_dispatch_returns_one_when_nothing_is_left(base):
    assert base.dispatch() == 1
    assert not base.got_exit()
    assert not base.got_break()


def test_loopexit_lets_due_callbacks_run(base):
    seen = []

    def first(fd, what, arg):
        base.loopexit()
        seen.append("first")

    events = [Event.timer(base, first), Event.timer(base, lambda *_: seen.append("second"))]
    for ev in events:
        ev.active()
    Event.timer(base, print).add(60)
    assert base.dispatch() == 0
    assert seen == ["first", "second"]
    assert base.got_exit()


def test_loopexit_before_the_loop_counts(base):
    Event.timer(base, print).add(60)
    base.loopexit()
    assert base.dispatch() == 0
    assert base.got_exit()


def test_loopexit_with_a_delay_ends_the_loop_later(base):
    Event.timer(base, print).add(60)
    start = time.monotonic()
    base.loopexit(0.02)
    assert base.dispatch() == 0
    assert 0.02 <= time.monotonic() - start < 10


def test_loopbreak_leaves_the_other_callbacks_for_the_next_loop(base):
    seen = []
    first = Event.timer(base, lambda *_: (base.loopbreak(), seen.append("first")))
    second = Event.timer(base, lambda *_: seen.append("second"))
    first.active()
    second.active(EV_TIMEOUT)
    assert base.dispatch() == 0
    assert seen == ["first"]
    assert base.got_break()
    assert second.pending
    assert base.dispatch() == 1
    assert seen == ["first", "second"]
    assert not base.got_break()


def test_loopbreak_before_the_loop_is_forgotten(base):
    seen = []
    Event.timer(base, lambda *_: seen.append(1)).add(0)
    base.loopbreak()
    assert base.dispatch() == 1
    assert seen == [1]


def test_loopcontinue_asks_the_kernel_before_the_other_callbacks(base, socketpair):
    seen = []
    base.priority_init(2)

    def first(fd, what, arg):
        seen.append("first")
        urgent.add(0)
        base.loopcontinue()

    urgent = Event.timer(base, lambda *_: seen.append("urgent"))
    urgent.priority = 0
    events = [Event.timer(base, first), Event.timer(base, lambda *_: seen.append("second"))]
    for ev in events:
        ev.priority = 1
        ev.active()
    base.dispatch()
    assert seen == ["first", "urgent", "second"]


def test_once_ends_after_callbacks_and_nonblock_without_any(base, socketpair):
    near, far = socketpair
    seen = []
    ev = Event(base, near, EV_READ | EV_PERSIST, lambda *_: seen.append(near.recv(1)))
    ev.add()
    assert base.loop(EVLOOP_NONBLOCK) == 0
    assert seen == []
    far.send(b"a")
    assert base.loop(EVLOOP_ONCE) == 0
    assert seen == [b"a"]
    assert base.loop(EVLOOP_ONCE | EVLOOP_NONBLOCK) == 0


def test_loop_may_stay_without_events(base):
    base.loopexit(0.01)
    assert base.loop(EVLOOP_NO_EXIT_ON_EMPTY) == 0
    assert base.got_exit()


def test_urgent_priorities_run_first(base):
    seen = []
    base.priority_init(3)
    assert base.get_npriorities() == 3
    for priority in (2, 0, 1):
        ev = Event.timer(base, lambda fd, what, arg: seen.append(arg), priority)
        assert ev.priority == 1  # the middle one
        ev.priority_set(priority)
        assert ev.get_priority() == ev.priority == priority
        ev.active()
    base.dispatch()
    assert seen == [0, 1, 2]


def test_priorities_have_limits(base):
    for n in (0, -1, 256, 1000):
        with pytest.raises(ValueError, match="priority_init"):
            base.priority_init(n)
    ev = Event.timer(base, lambda *_: None)
    for priority in (-1, 1):
        with pytest.raises(ValueError, match="priority"):
            ev.priority = priority
    ev.active()
    with pytest.raises(ValueError, match="active"):
        ev.priority = 0
    with pytest.raises(ValueError, match="active"):
        base.priority_init(2)


def test_counts_of_events(base, socketpair):
    ev = Event(base, socketpair[0], EV_WRITE, lambda *_: None)
    assert base.get_num_events(EVENT_BASE_COUNT_ADDED) == 0
    ev.add(60)
    assert base.get_num_events(EVENT_BASE_COUNT_ADDED) >= 1
    ev.active(EV_WRITE)
    assert base.get_num_events(EVENT_BASE_COUNT_ACTIVE) == 1
    ev.delete()
    assert base.get_num_events(EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_ACTIVE) == 0
    assert base.get_max_events(EVENT_BASE_COUNT_ACTIVE) == 1
    assert base.get_max_events(EVENT_BASE_COUNT_ACTIVE, clear=True) == 1
    assert base.get_max_events(EVENT_BASE_COUNT_ACTIVE) == 0


def test_backend_can_be_chosen(backend):
    with EventBase(backend=backend) as base:
        assert base.method == base.get_method() == backend
        assert base.features == base.get_features()
        assert type(base.features) is Feature
        assert base.get_signal_method()


def test_unknown_backend_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=pyevent.backends()[0]):
        EventBase(backend="kalender")


def test_backends_that_open_are_among_those_compiled_in():
    assert set(pyevent.backends()) <= set(pyevent.get_supported_methods())
    assert "poll" in pyevent.backends()


def test_config_avoids_methods_and_requires_features():
    config = EventConfig()
    config.avoid_method(pyevent.backends()[0])
    config.set_flag(pyevent.EVENT_BASE_FLAG_IGNORE_ENV)
    with EventBase(config) as base:
        assert base.method == pyevent.backends()[1]
    config = EventConfig()
    config.require_features(pyevent.EV_FEATURE_FDS)
    with EventBase(config) as base:
        assert base.features & pyevent.EV_FEATURE_FDS


def test_config_that_nothing_fits_is_an_error():
    config = EventConfig()
    for name in pyevent.get_supported_methods():
        config.avoid_method(name)
    with pytest.raises(OSError, match="Invalid"):
        EventBase(config)
    with pytest.raises(ValueError, match="not both"):
        EventBase(config, backend="poll")


def test_dispatch_interval_limits_callbacks_of_a_turn(backend, socketpair):
    """Between two callbacks the loop looks for what is more urgent."""
    near, far = socketpair
    config = EventConfig()
    for name in set(pyevent.get_supported_methods()) - {backend}:
        config.avoid_method(name)
    config.set_max_dispatch_interval(max_callbacks=1, min_priority=0)
    config.set_max_dispatch_interval(max_interval=1.0, max_callbacks=1, min_priority=1)
    seen = []

    def note(fd, what, arg):
        seen.append(arg)
        if arg == 0:
            far.send(b"x")

    with EventBase(config, exception_handler=pyevent.RAISE) as base:
        base.priority_init(2)
        urgent = Event(base, near, EV_READ, lambda *_: seen.append("urgent"))
        urgent.priority_set(0)
        urgent.add()
        for i in range(3):
            base.once(-1, EV_TIMEOUT, note, i)
        base.dispatch()
        assert seen == [0, "urgent", 1, 2]


def test_environment_can_rule_out_a_backend(run_python):
    code = """
        import os, pyevent
        first, second = pyevent.get_supported_methods()[:2]
        os.environ["EVENT_NO" + first.upper()] = "1"
        assert pyevent.EventBase.__name__ and pyevent.backends()[0] == first
        with pyevent.EventBase() as base:
            assert base.method == second
        with pyevent.EventBase(backend=first) as base:
            assert base.method == first
    """
    assert run_python(code).stderr == ""


USES = [
    lambda base: base.dispatch(),
    lambda base: base.loop(),
    lambda base: base.loopexit(),
    lambda base: base.loopbreak(),
    lambda base: base.loopcontinue(),
    lambda base: base.got_exit(),
    lambda base: base.got_break(),
    lambda base: base.once(-1, EV_TIMEOUT, print),
    lambda base: base.reinit(),
    lambda base: base.get_method(),
    lambda base: base.get_signal_method(),
    lambda base: base.get_features(),
    lambda base: base.get_num_events(0),
    lambda base: base.get_max_events(0),
    lambda base: base.priority_init(2),
    lambda base: base.get_npriorities(),
    lambda base: base.gettimeofday_cached(),
    lambda base: base.update_cache_time(),
    lambda base: base.gettime_monotonic(),
    lambda base: base.__enter__(),
    lambda base: base.running,
    lambda base: base.exception_handler,
    lambda base: setattr(base, "exception_handler", None),
    lambda base: base.default_exception_handler({"message": "", "exception": OSError()}),
    lambda base: base.slow_callback,
    lambda base: setattr(base, "slow_callback", 1),
    lambda base: base.call_soon_threadsafe(print),
    lambda base: base.get_events(),
    lambda base: base.dump_events(),
    lambda base: base.stats(),
]


@pytest.mark.parametrize("use", USES)
def test_using_a_closed_base_raises(backend, use):
    base = EventBase(backend=backend)
    base.close()
    base.close()
    assert base.closed
    for closed in (base, EventBase.__new__(EventBase)):
        with pytest.raises(RuntimeError, match="closed"):
            use(closed)


def test_base_is_opened_once(base):
    with pytest.raises(RuntimeError, match="already"):
        base.__init__()


def test_dispatch_inside_dispatch_is_refused(base):
    def again(fd, what, arg):
        assert base.running
        with pytest.raises(RuntimeError, match="runs already"):
            base.dispatch()
        with pytest.raises(RuntimeError, match="while it runs"):
            base.close()

    Event.timer(base, again).add(0)
    base.dispatch()
    assert not base.running


def test_another_base_may_run_inside_a_callback(base, backend):
    seen = []
    with EventBase(backend=backend, exception_handler=pyevent.RAISE) as inner:
        Event.timer(inner, lambda *_: seen.append("inner")).add(0)
        Event.timer(base, lambda *_: seen.append(inner.dispatch())).add(0)
        assert base.dispatch() == 1
    assert seen == ["inner", 1]


def test_backend_error_leaves_no_event_behind(base, socketpair):
    """A descriptor that is closed under the loop doesn't end it."""
    near, far = socketpair
    ev = Event(base, near, EV_READ, lambda *_: None)
    ev.add(0.02)
    near.close()
    assert base.dispatch() == 1
    ev.delete()
