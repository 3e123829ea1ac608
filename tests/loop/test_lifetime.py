"""Who keeps whom alive: cycles are collected, what is pending is kept, nothing is left."""

import gc
import socket
import subprocess
import sys
import textwrap
import weakref

import pytest

import pyevent
from pyevent import EV_PERSIST, EV_READ, EV_WRITE, RAISE, Event, EventBase


class Thing:
    """Something to refer to, and to see dying."""


@pytest.fixture(autouse=True)
def nothing_left(no_leaked_fds):
    gc.collect()
    before = pyevent.live_allocations()
    yield
    gc.collect()
    assert pyevent.live_allocations() == before


# Each makes a base, an event that is pending, and a cycle of them; gives weak references.


def base_held_by_its_event_s_callback(base, near):
    def callback(fd, what, arg):
        return base

    ev = Event(base, near, EV_READ, callback)
    ev.add()
    return [base, ev, callback]


def base_as_argument(base, near):
    ev = Event(base, near, EV_READ | EV_PERSIST, print, base)
    ev.add(60)
    return [base, ev]


def event_as_its_own_argument(base, near):
    class Own(Event):
        pass

    ev = Own(base, -1, 0, print, arg := Thing())
    arg.event = ev
    ev.add(60)
    return [base, ev, arg]


def callback_that_refers_to_its_event(base, near):
    def callback(fd, what, arg):
        ev.delete()

    ev = Event(base, near, EV_READ, callback)
    ev.active()
    return [base, ev, callback]


def event_in_an_attribute_of_its_base(base, near):
    base.event = Event.timer(base, print, base)
    base.event.add(60)
    return [base, base.event]


def exception_handler_that_refers_to_its_base(base, near):
    def handler(base_, context):
        return base

    base.exception_handler = handler
    return [base, handler]


def pending_event_nobody_refers_to(base, near):
    ev = Event.timer(base, print, Thing())
    ev.add(60)
    return [base, ev, ev.arg]


CYCLES = [
    base_held_by_its_event_s_callback,
    base_as_argument,
    event_as_its_own_argument,
    callback_that_refers_to_its_event,
    event_in_an_attribute_of_its_base,
    exception_handler_that_refers_to_its_base,
    pending_event_nobody_refers_to,
]


class Base(EventBase):
    pass


def make(cycle, backend, near):
    cls = Base if cycle is event_in_an_attribute_of_its_base else EventBase
    return [weakref.ref(each) for each in cycle(cls(backend=backend), near)]


@pytest.mark.parametrize("cycle", CYCLES)
def test_cycle_is_collected_with_one_warning(backend, socketpair, cycle):
    near, far = socketpair
    gc.disable()
    refs = make(cycle, backend, near)
    with pytest.warns(ResourceWarning, match="unclosed <(Event)?Base ") as seen:
        gc.collect()
    gc.enable()
    assert len(seen) == 1
    seen.clear()  # it refers to the base, which keeps its weak reference from 3.15 on
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


@pytest.mark.parametrize("cycle", CYCLES)
def test_cycle_is_collected_without_warning_once_the_base_is_closed(backend, socketpair, cycle):
    near, far = socketpair
    cls = Base if cycle is event_in_an_attribute_of_its_base else EventBase
    with cls(backend=backend) as base:
        refs = [weakref.ref(each) for each in cycle(base, near)]
    del base
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


def test_idle_event_in_a_cycle_is_collected_while_its_base_lives(base):
    ev = Event(base, -1, 0, print, arg := Thing())
    arg.event = ev
    refs = [weakref.ref(ev), weakref.ref(arg)]
    del ev, arg
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_event_keeps_its_base(backend):
    """An idle event is no reason for the base to hold it, but the other way round."""
    ev = Event.timer(EventBase(backend=backend), print)
    gc.collect()
    assert not ev.closed
    assert not ev.base.closed
    ev.base.close()


@pytest.mark.parametrize("end", ["fires", "delete", "close", "remove_timer", "base"])
def test_pending_event_is_kept_until(backend, end):
    with EventBase(backend=backend, exception_handler=RAISE) as base:
        ev = Event.timer(base, lambda *_: None)
        is_alive = weakref.ref(ev)
        ev.add(0 if end == "fires" else 60)
        del ev
        gc.collect()
        assert is_alive() is not None
        if end == "fires":
            base.dispatch()
        elif end == "base":
            base.close()
        else:
            getattr(is_alive(), end)()
        assert is_alive() is None  # at once: no collection is needed


def test_active_event_is_kept_until_its_call(base):
    seen = []
    Event.timer(base, lambda *_: seen.append(1)).active()
    gc.collect()
    base.dispatch()
    assert seen == [1]


def test_closed_event_lets_go_of_what_it_refers_to(base):
    thing = Thing()
    is_alive = weakref.ref(thing)
    ev = Event.timer(base, print, thing)
    ev.add(60)
    del thing
    ev.close()
    assert is_alive() is None


def test_closing_the_base_closes_its_events(backend):
    base = EventBase(backend=backend)
    events = [Event.timer(base, print) for _ in range(3)]
    events[0].add(60)
    events[1].active()
    base.close()
    assert all(ev.closed for ev in events)
    for ev in events:
        ev.close()


def test_unclosed_base_warns_once_when_dropped(backend):
    with pytest.warns(ResourceWarning, match=f"unclosed <EventBase {backend} events=0>") as seen:
        EventBase(backend=backend)
    assert len(seen) == 1


def test_a_base_with_100_000_pending_events_is_collected(backend):
    """In a loop: an object per frame of C would overflow the stack."""
    base = EventBase(backend=backend)
    previous = None
    for _ in range(100_000):
        ev = Event(base, -1, 0, print, previous)
        ev.add(60)
        previous = ev
    is_alive = weakref.ref(base)
    del base, ev, previous
    with pytest.warns(ResourceWarning, match="events=100000"):
        gc.collect()
    assert is_alive() is None


def test_a_base_with_100_000_pending_events_is_closed(backend):
    with EventBase(backend=backend) as base:
        for _ in range(100_000):
            Event.timer(base, print).add(60)


def test_many_events_and_bases_leave_nothing(backend):
    """No descriptor and no allocation: `nothing_left` compares."""
    near, far = socket.socketpair()
    for _ in range(50):
        with EventBase(backend=backend, exception_handler=RAISE) as base:
            for what in (EV_READ, EV_WRITE | EV_PERSIST, 0):
                Event(base, near if what else -1, what, lambda *_: None).add(0.001)
            base.loop(pyevent.EVLOOP_ONCE)
    near.close()
    far.close()


# --- finalizers that come back into the base ---------------------------------------------------


class Closer:
    def __init__(self, base):
        self.base = base

    def __del__(self):
        self.base.close()


def test_finalizer_of_an_argument_may_close_the_base(backend):
    """The event is half deallocated then, and in the base's list."""
    base = EventBase(backend=backend)
    Event(base, -1, 0, print, Closer(base))
    assert base.closed


@pytest.mark.parametrize("make", [Event.timer, pyevent.PrepareWatcher, pyevent.CheckWatcher])
def test_finalizer_of_a_closed_object_s_argument_may_close_the_base(backend, make):
    base = EventBase(backend=backend)
    make(base, print, Closer(base)).close()
    assert base.closed


def test_finalizer_of_a_subclass_s_attribute_may_close_the_base(backend):
    class Sub(Event):
        pass

    base = EventBase(backend=backend)
    ev = Sub(base, -1, 0, print)
    ev.closer = Closer(base)
    del ev
    assert base.closed


def test_finalizer_of_an_argument_does_not_see_the_event_that_dies(base):
    """Its callback was the last that ran."""
    seen = []

    class Asker:
        def __del__(self):
            seen.append(base.get_running_event())
            seen.append(base.get_events())

    Event(base, -1, 0, lambda *_: None, Asker()).active()
    base.dispatch()
    assert seen == [None, []]


def test_weakref_callback_may_close_the_base(backend):
    class Sub(Event):
        pass

    base = EventBase(backend=backend)
    ev = Sub(base, -1, 0, print)
    ref = weakref.ref(ev, lambda _: base.close())
    del ev
    assert base.closed
    assert ref() is None


def test_finalizer_of_a_pending_event_s_argument_may_close_the_base(backend):
    base = EventBase(backend=backend)
    Event(base, -1, 0, print, Closer(base)).add(60)
    base.close()
    assert base.closed


def test_nothing_is_added_to_a_base_while_it_closes(backend):
    """So that it comes to an end."""
    refused = []

    class Maker:
        def __del__(self):
            for make in (Event.timer, pyevent.PrepareWatcher):
                with pytest.raises(RuntimeError, match="being closed") as raised:
                    make(base, print)
                refused.append(raised)
            assert base.closed

    base = EventBase(backend=backend)
    Event.timer(base, print, Maker()).add(60)
    base.close()
    assert len(refused) == 2


def test_a_finalizer_that_finalizes_again_does_not_keep_the_base_from_closing(backend, caplog):
    calls = []

    def again(ev, arg):
        calls.append(1)
        if len(calls) < 1000:
            Event.timer(base, print).finalize(again)

    base = EventBase(backend=backend)
    Event.timer(base, print).finalize(again)
    base.close()
    assert calls == [1]
    assert "being closed" in caplog.text


def test_a_finalizer_cannot_be_deleted(base):
    """Not even by who finds the event that stands for its call."""
    seen = []
    Event.timer(base, print).finalize(lambda ev, arg: seen.append(1))
    base.foreach_event(lambda base, ev, arg: ev.delete())
    base.dispatch()
    assert seen == [1]


@pytest.mark.parametrize("make", [Event.timer, pyevent.PrepareWatcher, pyevent.CheckWatcher])
def test_a_second_set_up_is_refused_and_leaves_nothing(backend, make):
    base = EventBase(backend=backend)
    one = make(base, print)
    other = EventBase(backend=backend)
    arguments = (base, -1, 0, print) if isinstance(one, Event) else (base, print)
    for into in (base, other):
        with pytest.raises(RuntimeError, match="already"):
            one.__init__(into, *arguments[1:])
    other.close()
    base.close()
    assert one.closed


def test_a_base_that_is_set_up_by_its_own_arguments_is_refused(backend):
    class Seconds:
        def __float__(self):
            base.__init__(backend=backend)
            return 1.0

    base = EventBase.__new__(EventBase)
    with pytest.raises(RuntimeError, match="already"):
        base.__init__(backend=backend, slow_callback=Seconds())
    assert base.method == backend
    base.close()


def test_a_base_that_is_set_up_by_a_log_callback_is_refused(monkeypatch):
    def log(severity, message):
        lines.append(message)
        if len(lines) == 1:
            base.__init__()

    lines = []
    monkeypatch.setenv("EVENT_SHOW_METHOD", "1")
    pyevent.event_set_log_callback(log)
    try:
        base = EventBase.__new__(EventBase)
        with pytest.raises(RuntimeError, match="already"):
            base.__init__()
    finally:
        pyevent.event_set_log_callback(None)
    assert len(lines) == 2
    base.close()


def test_a_closed_base_may_be_opened_again(backend):
    base = EventBase(backend=backend)
    base.close()
    base.__init__(backend=backend)
    assert base.dispatch() == 1
    base.close()


def test_event_may_be_dropped_in_its_callback(base):
    class Own(Event):
        def __del__(self):
            seen.append("gone")

    seen = []
    holder = [Own(base, -1, EV_PERSIST, lambda *_: (holder.pop().close(), seen.append("called")))]
    holder[0].add(0.0001)
    base.dispatch()
    assert seen == ["called", "gone"]


CODE = """
    import gc, sys, weakref
    import pyevent
    from pyevent import *

    def cycle():
        base = EventBase()
        ev = Event(base, 0, 0, lambda *_: (base, ev), None)
        ev.add(60)
        return [weakref.ref(base), weakref.ref(ev), weakref.ref(ev.callback)]

    before = pyevent.live_allocations()
    refs = cycle()
    assert refs[1]() is not None
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3
    assert pyevent.live_allocations() == before
"""


def test_cycle_is_collected_in_development_mode_with_warnings_as_errors(run_python):
    """The warning cannot be raised out of a finalizer: it is printed, with its traceback."""
    done = run_python(CODE, options=("-X", "dev", "-W", "error"))
    assert done.stderr.count("Exception ignored in") == 1
    assert "ResourceWarning: unclosed <EventBase" in done.stderr
    done = run_python(CODE, options=("-X", "dev"))
    assert done.stderr.count("ResourceWarning: unclosed <EventBase") == 1
    done = run_python(CODE, options=("-X", "dev", "-W", "ignore"))
    assert done.stderr == ""


def smallest_stack_for_dicts():
    """Bytes, 256 KiB or more, on which CPython frees a chain of 20,000 dicts.

    3.13 goes thousands of levels deep before it puts the rest off, and overruns a small stack.
    """
    code = """
        import sys, threading

        def run():
            last = None
            for _ in range(20_000):
                last = {0: last}

        threading.stack_size(int(sys.argv[1]))
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    """
    for size in (1 << exponent for exponent in range(18, 26)):
        command = [sys.executable, "-c", textwrap.dedent(code), str(size)]
        if subprocess.run(command, stderr=subprocess.DEVNULL, timeout=30).returncode == 0:
            return size
    raise AssertionError("no stack is large enough")


def test_a_chain_of_objects_through_their_args_is_collected_on_a_small_stack(run_python):
    """One may hold the next as its `arg`, as far as one may with dicts."""
    code = """
        import gc, sys, threading
        from pyevent import BufferEvent, Event, EventBase

        def chain(link):
            with EventBase() as base:
                last = None
                for _ in range(20_000):
                    last = link(base, last)

        def event(base, last):
            ev = Event(base, -1, 0, print, last)
            ev.add(60)
            return ev

        def connection(base, last):
            bev = BufferEvent(base)
            bev.setcb(print, arg=last)
            return bev

        def run():
            chain(event)
            chain(connection)
            gc.collect()

        threading.stack_size(int(sys.argv[1]))
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        print("alive")
    """
    assert run_python(code, smallest_stack_for_dicts()).stdout == "alive\n"
