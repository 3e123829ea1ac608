"""An event that is set up anew, moved to another base, or its own argument."""

import gc
import pickle
import weakref

import pytest

import pyevent
from pyevent import EV_PERSIST, EV_READ, EV_TIMEOUT, RAISE, Event, EventBase


@pytest.fixture
def other(backend):
    with EventBase(backend=backend, exception_handler=RAISE) as other:
        yield other


def test_an_event_is_set_up_anew(base, socketpair):
    seen = []
    ev = Event.timer(base, print, "old")
    pyevent.event_assign(ev, base, socketpair[0], EV_READ, lambda *args: seen.append(args), "new")
    assert pyevent.event_get_assignment(ev) == (
        base,
        socketpair[0].fileno(),
        EV_READ,
        ev.callback,
        "new",
    )
    ev.add()
    socketpair[1].send(b"x")
    base.dispatch()
    assert seen == [(socketpair[0].fileno(), EV_READ, "new")]


def test_an_event_is_set_up_for_the_first_time(base):
    seen = []
    ev = Event.__new__(Event)
    assert not pyevent.event_initialized(ev)
    pyevent.event_assign(ev, base, -1, 0, lambda *_: seen.append(1))
    assert pyevent.event_initialized(ev)
    ev.add(0)
    base.dispatch()
    assert seen == [1]
    pyevent.event_free(ev)
    assert not pyevent.event_initialized(ev)


def test_an_event_is_set_up_anew_in_its_own_callback(base, other):
    seen = []

    def first(fd, what, arg):
        ev.assign(other, -1, 0, second)
        ev.add(0)

    def second(fd, what, arg):
        seen.append(what)

    ev = Event.timer(base, first)
    ev.add(0)
    assert base.dispatch() == 1
    assert seen == []
    other.dispatch()
    assert seen == [EV_TIMEOUT]


@pytest.mark.parametrize("start", [lambda ev: ev.add(5), lambda ev: ev.active()])
def test_a_pending_or_active_event_is_left_alone(base, other, start):
    ev = Event.timer(base, print, "arg")
    start(ev)
    with pytest.raises(RuntimeError, match="pending or active"):
        ev.assign(base, -1, 0, print)
    with pytest.raises(RuntimeError, match="pending or active"):
        ev.set_base(other)
    assert ev.get_assignment() == (base, -1, 0, print, "arg")
    ev.delete()
    ev.set_base(other)
    ev.assign(base, -1, EV_PERSIST, print)
    assert ev.events == EV_PERSIST


def test_an_event_is_served_by_the_base_that_it_was_given_to(base, other, socketpair):
    seen = []
    other.priority_init(8)
    ev = Event(base, socketpair[0], EV_READ, lambda *_: seen.append(1))
    ev.add()
    socketpair[1].send(b"x")
    base.dispatch()
    pyevent.event_base_set(other, ev)
    assert pyevent.event_get_base(ev) is other
    assert ev.priority == 4
    ev.add()
    assert base.dispatch() == 1  # nothing is left there
    assert other.dispatch() == 1
    assert seen == [1, 1]
    base.close()
    assert not ev.closed
    other.close()
    assert ev.closed


def test_the_old_base_may_go_when_its_event_has_moved(backend, other):
    old = weakref.ref(base := EventBase(backend=backend))
    ev = Event.timer(base, print)
    base.close()
    ev.__init__(other, -1, 0, print)
    del base
    assert old() is None
    old = weakref.ref(base := EventBase(backend=backend))
    ev.set_base(base)
    del base
    with pytest.warns(ResourceWarning, match="unclosed"):
        ev.set_base(other)
    assert old() is None
    assert ev.base is other


def test_a_closed_base_or_event_is_refused(base, backend):
    closed = EventBase(backend=backend)
    closed.close()
    ev = Event.timer(base, print, "arg")
    with pytest.raises(RuntimeError, match="closed"):
        ev.set_base(closed)
    with pytest.raises(RuntimeError, match="closed"):
        ev.assign(closed, -1, 0, print)
    assert ev.get_assignment() == (base, -1, 0, print, "arg")
    ev.close()
    with pytest.raises(RuntimeError, match="closed"):
        pyevent.event_base_set(base, ev)
    with pytest.raises(TypeError):
        pyevent.event_base_set(ev, base)
    with pytest.raises(TypeError):
        pyevent.event_initialized(None)


@pytest.mark.parametrize("marker", [pyevent.event_self_cbarg, pyevent.event_self_cbarg()])
def test_an_event_may_be_its_own_argument(base, marker):
    """Without a cycle of references."""
    seen = []
    ev = Event.timer(base, lambda fd, what, arg: seen.append(arg), marker)
    assert ev.arg is ev
    assert ev.get_assignment()[-1] is ev
    ev.add(0)
    base.dispatch()
    assert seen == [ev]
    ev.finalize(lambda ev, arg: seen.append(arg))
    base.dispatch()
    assert seen == [ev, ev]
    gone = weakref.ref(ev := Event.timer(base, print, marker))
    gc.disable()
    del ev
    gc.enable()
    assert gone() is None


def test_the_argument_that_stands_for_the_event_is_one_object():
    marker = pyevent.event_self_cbarg
    assert marker() is marker
    assert pickle.loads(pickle.dumps(marker)) is marker
    assert repr(marker) == "pyevent.event_self_cbarg"


def test_a_call_with_too_few_arguments_names_the_missing(base):
    with pytest.raises(TypeError, match=r"base, fd, what and callback: fd, what, callback missing"):
        Event(base)
    with pytest.raises(TypeError, match="callback: fd missing"):
        Event(base, callback=print, what=0)
    with pytest.raises(TypeError, match="EventBase"):
        Event(1, -1, 0, print)
    with pytest.raises(TypeError, match="callable"):
        Event(base, -1, 0, 3)


def test_a_configuration_is_freed(backend):
    config = pyevent.event_config_new()
    with EventBase(config):
        assert not config.closed
        pyevent.event_config_free(config)
        pyevent.event_config_free(config)
    assert config.closed
    assert repr(config) == "<EventConfig closed>"
    for use in (
        lambda: EventBase(config),
        lambda: config.avoid_method("poll"),
        lambda: config.set_flag(1),
        lambda: config.require_features(0),
        lambda: config.set_max_dispatch_interval(1),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            use()
