"""Prepare and check watchers: when they are called, with what, and how they go."""

import gc
import threading
import weakref

import pytest

import pyevent
from pyevent import (
    EV_READ,
    EV_TIMEOUT,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    RAISE,
    CheckWatcher,
    Event,
    EventBase,
    PrepareWatcher,
)

KINDS = pytest.mark.parametrize("kind", [PrepareWatcher, CheckWatcher])


def test_they_run_around_the_wait_in_the_order_of_making(base):
    seen = []
    CheckWatcher(base, lambda *_: seen.append("check"))
    PrepareWatcher(base, lambda *_: seen.append("prepare 1"))
    PrepareWatcher(base, lambda *_: seen.append("prepare 2"))
    Event.timer(base, lambda *_: seen.append("event")).add(0)
    base.loop(EVLOOP_ONCE)
    assert seen == ["prepare 1", "prepare 2", "check", "event"]


def test_callback_gets_watcher_timeout_and_argument(base):
    seen = []
    prepare = PrepareWatcher(base, lambda *args: seen.append(args), arg="p")
    check = CheckWatcher(base, lambda *args: seen.append(args), "c")
    base.once(-1, EV_TIMEOUT, lambda *_: None, timeout=0.005)
    base.loop(EVLOOP_ONCE)
    (got, timeout, p), (got_check, nothing, c) = seen[:2]
    assert (got, p, got_check, nothing, c) == (prepare, "p", check, None, "c")
    assert 0 < timeout <= 0.005
    assert prepare.base is base
    assert prepare.get_base() is base


@pytest.mark.parametrize(("due", "told"), [(0, 0), (None, None), (3600, pytest.approx(3600, 0.1))])
def test_prepare_is_told_how_long_the_wait_will_be(base, due, told, socketpair):
    near, far = socketpair
    seen = []

    def prepare(watcher, timeout, arg):
        seen.append(timeout)
        far.send(b"x")

    PrepareWatcher(base, prepare)
    Event(base, near, EV_READ, lambda *_: base.loopbreak()).add(due)
    base.dispatch()
    assert seen == [told]


def test_a_turn_that_only_looks_tells_a_timeout_of_zero(base):
    seen = []
    PrepareWatcher(base, lambda watcher, timeout, arg: seen.append(timeout))
    Event.timer(base, print).add(60)
    base.loop(EVLOOP_NONBLOCK)
    assert seen == [0]


def test_what_prepare_adds_counts_for_that_wait(base):
    """The loop would sleep for an hour if the timer of the watcher came too late."""
    seen = []
    Event.timer(base, print).add(3600)
    timer = Event.timer(base, lambda *_: (seen.append("timer"), base.loopbreak()))
    PrepareWatcher(base, lambda *_: timer.add(0.001))
    base.dispatch()
    assert seen == ["timer"]


@KINDS
def test_they_do_not_keep_the_loop_from_ending(base, kind):
    kind(base, lambda *_: pytest.fail("nothing to wait for"))
    assert base.dispatch() == 1


@KINDS
def test_a_watcher_closed_in_its_callback_is_called_no_more(base, kind):
    seen = []

    def callback(watcher, timeout, arg):
        seen.append(watcher.closed)
        watcher.close()
        watcher.close()
        seen.append(watcher.closed)

    kind(base, callback)
    for _ in range(3):
        base.loop(EVLOOP_NONBLOCK)
        base.once(-1, EV_TIMEOUT, lambda *_: None)
        base.loop(EVLOOP_NONBLOCK)
    assert seen == [False, True]


@KINDS
def test_watchers_may_close_and_make_others(base, kind):
    seen = []

    def first(watcher, timeout, arg):
        seen.append("first")
        second.close()
        watcher.close()
        kind(base, lambda *_: seen.append("new"))

    def turn():
        base.once(-1, EV_TIMEOUT, lambda *_: None)
        base.loop(EVLOOP_ONCE)

    kind(base, first)
    second = kind(base, lambda *_: seen.append("second"))
    turn()
    assert seen == ["first"]  # the new one from the next turn on
    turn()
    assert seen == ["first", "new"]


@KINDS
def test_loopbreak_in_a_watcher_leaves_callbacks_active(base, kind):
    seen = []
    kind(base, lambda *_: base.loopbreak())
    ev = Event.timer(base, lambda *_: seen.append("event"))
    ev.active(EV_TIMEOUT)
    assert base.dispatch() == 0
    assert seen == []
    assert ev.pending


@KINDS
def test_a_callback_that_fails_goes_to_the_handler_and_the_loop_goes_on(backend, kind):
    contexts, seen = [], []
    with EventBase(
        backend=backend, exception_handler=lambda base, context: contexts.append(context)
    ) as base:

        def fail(watcher, timeout, arg):
            raise ValueError("watched")

        watcher = kind(base, fail)
        for _ in range(2):
            base.once(-1, EV_TIMEOUT, lambda *_: seen.append("event"))
            base.loop(EVLOOP_ONCE)
        assert not watcher.closed
    assert seen == ["event", "event"]
    assert len(contexts) >= 2
    assert {str(context["exception"]) for context in contexts} == {"watched"}
    assert contexts[0]["source"] is watcher
    assert contexts[0]["callback"] is fail
    assert contexts[0]["message"] == "exception in watcher callback"


@KINDS
def test_raise_leaves_dispatch_from_a_watcher(base, kind):
    def fail(watcher, timeout, arg):
        raise ValueError("watched")

    base.exception_handler = RAISE
    watcher = kind(base, fail)
    due = Event.timer(base, lambda *_: None)
    due.add(0)
    with pytest.raises(ValueError, match="watched"):
        base.dispatch()
    watcher.close()
    assert base.dispatch() == 1
    assert not due.pending


@KINDS
def test_the_base_keeps_a_watcher_until_it_is_closed(base, kind):
    class Callback:
        def __call__(self, *args):
            pass

    callback = Callback()
    watcher, ref = weakref.ref(kind(base, callback)), weakref.ref(callback)
    del callback
    gc.collect()
    assert watcher() is not None
    watcher().close()
    assert watcher() is None
    assert ref() is None


@KINDS
def test_closing_the_base_closes_its_watchers(backend, kind):
    base = EventBase(backend=backend)
    watcher = kind(base, print)
    assert not watcher.closed
    base.close()
    assert watcher.closed
    assert repr(watcher) == f"<{kind.__name__} closed>"
    watcher.close()


@KINDS
def test_a_cycle_of_base_and_watcher_is_collected(backend, kind):
    gc.collect()
    before = pyevent.live_allocations()

    def make():
        base = EventBase(backend=backend)
        return [weakref.ref(base), weakref.ref(kind(base, lambda *_: base, base))]

    refs = make()
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
    assert [ref() for ref in refs] == [None, None]
    assert pyevent.live_allocations() == before


@KINDS
def test_arguments_are_checked(base, kind):
    with pytest.raises(TypeError):
        kind(None, print)
    with pytest.raises(TypeError, match="callable"):
        kind(base, 3)
    watcher = kind(base, print)
    with pytest.raises(RuntimeError, match="already"):
        watcher.__init__(base, print)
    other = EventBase(backend=base.method)
    other.close()
    with pytest.raises(RuntimeError, match="closed"):
        kind(other, print)


def test_flat_names_are_the_same_callables(base):
    seen = []
    assert pyevent.evwatch_prepare_new is PrepareWatcher
    assert pyevent.evwatch_check_new is CheckWatcher
    watcher = pyevent.evwatch_prepare_new(
        base, lambda w, info, arg: seen.append(pyevent.evwatch_prepare_get_timeout(info)), None
    )
    assert pyevent.evwatch_base(watcher) is base
    pyevent.event_base_once(base, -1, EV_TIMEOUT, lambda *_: None)
    pyevent.event_base_loop(base, EVLOOP_ONCE)
    pyevent.evwatch_free(watcher)
    pyevent.event_base_once(base, -1, EV_TIMEOUT, lambda *_: None)
    pyevent.event_base_loop(base, EVLOOP_ONCE)
    assert seen == [0]


def test_watchers_come_and_go_from_another_thread_while_the_loop_turns(base):
    called = {PrepareWatcher: threading.Event(), CheckWatcher: threading.Event()}
    again = Event.timer(base, lambda *_: again.add(0))
    again.add(0)

    def note(watcher, timeout, arg):
        called[type(watcher)].set()

    def work():
        for _ in range(300):
            for kind in called:
                kind(base, note).close()
        for kind in called:
            with kind(base, note):
                assert called[kind].wait(10)
        base.loopexit()

    thread = threading.Thread(target=work)
    base.once(-1, EV_TIMEOUT, lambda *_: thread.start())
    base.dispatch()
    thread.join()
