"""Bases and events as Python objects: subclasses, contexts, copying, repr, attributes."""

import contextvars
import copy
import gc
import pickle
import signal
import weakref

import pytest

import pyevent
from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_SIGNAL,
    EV_TIMEOUT,
    EV_WRITE,
    RAISE,
    Event,
    EventBase,
    EventConfig,
)

# --- contextvars -----------------------------------------------------------------------

who = contextvars.ContextVar("who", default="nobody")


def test_callbacks_run_in_the_context_of_dispatch(base):
    """Not in that of add(), nor of the event's making."""
    seen = []
    ev = Event.timer(base, lambda *_: seen.append(who.get()))

    def add():
        who.set("add")
        ev.add(0)

    def dispatch():
        who.set("dispatch")
        base.dispatch()

    contextvars.copy_context().run(add)
    contextvars.copy_context().run(dispatch)
    assert seen == ["dispatch"]
    assert who.get() == "nobody"


def test_what_a_callback_sets_is_seen_by_the_next_and_after_dispatch(base):
    seen = []
    Event.timer(base, lambda *_: who.set("callback")).active()
    Event.timer(base, lambda *_: seen.append(who.get())).active()

    def dispatch():
        base.dispatch()
        seen.append(who.get())

    contextvars.copy_context().run(dispatch)
    assert seen == ["callback", "callback"]


# --- subclasses --------------------------------------------------------------------------


class NamedBase(EventBase):
    def __init__(self, name, **options):
        super().__init__(**options)
        self.name = name


class NamedEvent(Event):
    def __init__(self, name, base, *args):
        super().__init__(base, *args)
        self.name = name


def test_subclasses_have_attributes_and_work_as_their_classes(backend):
    seen = []
    with NamedBase("b", backend=backend, exception_handler=RAISE) as base:
        ev = NamedEvent("e", base, -1, 0, lambda *_: seen.append(ev.name))
        ev.add(0)
        assert (base.name, ev.name) == ("b", "e")
        assert repr(base) == f"<NamedBase {backend} events=1>"
        assert repr(ev) == "<NamedEvent timer pending>"
        base.dispatch()
    assert seen == ["e"]


def test_constructors_of_a_subclass_give_its_instances(base):
    class Sub(Event):
        pass

    assert type(Sub.timer(base, print)) is Sub
    assert type(Sub.signal(base, signal.SIGUSR1, print)) is Sub


def test_method_of_a_subclass_may_be_the_callback(base):
    class Ticker(Event):
        def __init__(self, base):
            super().__init__(base, -1, EV_PERSIST, self.tick)
            self.count = 0

        def tick(self, fd, what, arg):
            self.count += 1
            if self.count == 3:
                self.delete()

    ticker = Ticker(base)
    ticker.add(0.0001)
    base.dispatch()
    assert ticker.count == 3


def test_flat_names_pass_over_an_override(base):
    class Loud(Event):
        def add(self, timeout=None):
            raise AssertionError("overridden")

    ev = Loud.timer(base, print)
    pyevent.event_add(ev, 60)
    assert ev.pending
    with pytest.raises(AssertionError, match="overridden"):
        ev.add(60)


def test_subclass_that_forgets_its_base_class_is_closed_not_broken():
    class Forgetful(EventBase):
        def __init__(self):
            pass

    base = Forgetful()
    assert base.closed
    with pytest.raises(RuntimeError, match="closed"):
        base.dispatch()
    with pytest.raises(RuntimeError, match="closed"):
        Event(base, -1, 0, print)
    base.close()


def test_finalizer_of_a_subclass_may_resurrect_it(backend):
    """It is closed by then, or goes on to work: nothing in between."""
    saved = []

    class Phoenix(Event):
        def __del__(self):
            saved.append(self)

    with EventBase(backend=backend, exception_handler=RAISE) as base:
        ev = Phoenix(base, -1, 0, lambda *_: saved.append("called"))
        del ev
        (ev,) = saved
        ev.add(0)
        base.dispatch()
        assert saved[1:] == ["called"]


# --- what cannot be done, and what is shown ----------------------------------------------------


@pytest.fixture(params=["base", "event", "config"])
def thing(request, base):
    return {"base": base, "event": Event.timer(base, print), "config": EventConfig()}[request.param]


def test_cannot_be_pickled_or_copied(thing):
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"pickle or copy '{type(thing).__name__}'"):
            way(thing)


def test_has_no_dict_and_takes_no_attribute(thing):
    assert not hasattr(thing, "__dict__")
    with pytest.raises(AttributeError):
        thing.colour = "red"


def test_can_be_weakly_referred_to(base):
    ev = Event.timer(base, print)
    died = []
    ref = weakref.ref(ev, lambda _: died.append(1))
    assert ref() is ev
    assert weakref.ref(base)() is base
    del ev
    assert died == [1]


def test_is_hashable_and_equal_to_itself_only(base):
    one, other = Event.timer(base, print), Event.timer(base, print)
    assert one != other
    assert len({one, other, base}) == 3


def test_read_only_attributes_stay_so(base):
    ev = Event.timer(base, print)
    for name in ("fd", "base", "events", "callback", "arg", "closed", "pending"):
        with pytest.raises(AttributeError):
            setattr(ev, name, None)
    for name in ("method", "features", "closed", "running"):
        with pytest.raises(AttributeError):
            setattr(base, name, None)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (EV_READ, "EV_READ"),
        (EV_READ | EV_WRITE | EV_PERSIST, "EV_READ|EV_WRITE|EV_PERSIST"),
        (0, "timer"),
        (EV_TIMEOUT, "EV_TIMEOUT"),
    ],
)
def test_repr_of_an_event_shows_fd_flags_and_state(base, socketpair, what, text):
    fd = socketpair[0].fileno() if what & (EV_READ | EV_WRITE) else -1
    shown = f"fd={fd} {text}" if fd >= 0 else text
    ev = Event(base, fd, what, print)
    assert repr(ev) == f"<Event {shown} idle>"
    ev.add(60)
    assert repr(ev) == f"<Event {shown} pending>"
    ev.close()
    assert repr(ev) == "<Event closed>"


def test_repr_of_a_signal_event_shows_its_number(base):
    ev = Event(base, signal.SIGUSR1, EV_SIGNAL, print)
    assert repr(ev) == f"<Event fd={int(signal.SIGUSR1)} EV_SIGNAL idle>"


def test_repr_of_a_base_shows_backend_and_state(base, backend):
    seen = []
    assert repr(base) == f"<EventBase {backend} events=0>"
    Event.timer(base, lambda *_: seen.append(repr(base))).add(0)
    Event.timer(base, lambda *_: None).add(0.001)
    base.dispatch()
    assert seen == [f"<EventBase {backend} running events=1>"]
    with EventBase(backend=backend) as other:
        pass
    assert repr(other) == "<EventBase closed>"


def test_both_are_context_managers_that_close(backend):
    with EventBase(backend=backend) as base:
        with Event.timer(base, print) as ev:
            ev.add(60)
        assert ev.closed
        with pytest.raises(RuntimeError), Event.timer(base, print) as ev:
            raise RuntimeError
        assert ev.closed
    assert base.closed


def test_collector_sees_the_objects_that_a_base_holds(base):
    pending, idle = Event.timer(base, print), Event.timer(base, print)
    pending.add(60)
    referents = gc.get_referents(base)
    assert any(each is pending for each in referents)
    assert not any(each is idle for each in referents)
