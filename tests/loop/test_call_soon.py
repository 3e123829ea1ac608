"""call_soon_threadsafe: a function for the loop's thread, from any thread."""

import gc
import threading
import weakref

import pytest

from pyevent import EV_TIMEOUT, EVLOOP_NO_EXIT_ON_EMPTY, RAISE, Event, EventBase

THREADS, CALLS = 4, 500


@pytest.fixture
def in_thread(base):
    """The base's loop in a thread of its own, which waits when the fixture is ready."""
    ready = threading.Event()
    base.once(-1, EV_TIMEOUT, lambda *_: ready.set())
    thread = threading.Thread(target=base.loop, args=(EVLOOP_NO_EXIT_ON_EMPTY,))
    thread.start()
    assert ready.wait(10)
    yield thread
    base.loopexit()
    thread.join(20)
    assert not thread.is_alive()


def test_it_wakes_a_waiting_loop_and_runs_in_its_thread(base, in_thread):
    seen = []
    done = threading.Event()

    def call(*args):
        seen.append((threading.current_thread(), args))
        done.set()

    for i in range(20):  # each of them finds the loop asleep, or about to be
        done.clear()
        base.call_soon_threadsafe(call, i, "more")
        assert done.wait(10)
    assert seen == [(in_thread, (i, "more")) for i in range(20)]


def test_calls_run_in_the_order_in_which_they_were_made(base):
    seen = []
    for i in range(1000):
        base.call_soon_threadsafe(seen.append, i)
    assert base.dispatch() == 1
    assert seen == list(range(1000))


def test_calls_of_several_threads_all_run_each_thread_s_in_its_order(base, in_thread):
    seen = []
    done = threading.Event()
    left = [THREADS]

    def end():
        left[0] -= 1
        if left[0] == 0:
            done.set()

    def work(name):
        for i in range(CALLS):
            base.call_soon_threadsafe(seen.append, (name, i))
        base.call_soon_threadsafe(end)

    workers = [threading.Thread(target=work, args=(name,)) for name in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert done.wait(30)
    for name in range(THREADS):
        assert [i for got, i in seen if got == name] == list(range(CALLS))


def test_a_call_made_in_a_callback_runs_and_the_loop_does_not_end_before(base):
    seen = []

    def again(n):
        seen.append(n)
        if n < 5:
            base.call_soon_threadsafe(again, n + 1)

    base.call_soon_threadsafe(again, 0)
    assert base.dispatch() == 1
    assert seen == [0, 1, 2, 3, 4, 5]


def test_a_call_that_calls_itself_again_does_not_lock_out_the_rest(base, socketpair):
    near, far = socketpair
    far.send(b"x")

    def again():
        if not base.got_exit():
            base.call_soon_threadsafe(again)

    Event(base, near, 2, lambda *_: base.loopexit()).add()
    base.call_soon_threadsafe(again)
    assert base.dispatch() == 0
    assert base.dispatch() == 1  # the last one


def test_an_exception_goes_to_the_handler_and_the_next_call_runs(backend):
    contexts, seen = [], []

    def fail(what):
        raise ValueError(what)

    with EventBase(
        backend=backend, exception_handler=lambda base, context: contexts.append(context)
    ) as base:
        base.call_soon_threadsafe(fail, "oops")
        base.call_soon_threadsafe(seen.append, 1)
        assert base.dispatch() == 1
    (context,) = contexts
    assert str(context["exception"]) == "oops"
    assert context["callback"] is fail
    assert seen == [1]


def test_raise_leaves_dispatch_and_the_next_call_is_still_due(base):
    seen = []

    def fail():
        raise ValueError("oops")

    base.exception_handler = RAISE
    base.call_soon_threadsafe(fail)
    base.call_soon_threadsafe(seen.append, 1)
    with pytest.raises(ValueError, match="oops"):
        base.dispatch()
    assert seen == []
    assert base.dispatch() == 1
    assert seen == [1]


def test_the_base_keeps_function_and_arguments_until_the_call(base):
    class Thing:
        def __call__(self, other):
            pass

    refs = [weakref.ref(thing := Thing()), weakref.ref(other := Thing())]
    base.call_soon_threadsafe(thing, other)
    del thing, other
    gc.collect()
    assert None not in [ref() for ref in refs]
    base.dispatch()
    assert [ref() for ref in refs] == [None, None]


def test_closing_the_base_drops_the_calls(backend):
    """A warning says how many there were."""
    seen = []
    base = EventBase(backend=backend)
    for i in range(3):
        base.call_soon_threadsafe(seen.append, i)
    with pytest.warns(ResourceWarning, match="3 calls of call_soon_threadsafe") as warned:
        base.close()
    assert len(warned) == 1
    gc.collect()
    assert seen == []
    with pytest.raises(RuntimeError, match="closed"):
        base.call_soon_threadsafe(seen.append, 2)


def test_a_base_that_is_only_dropped_tells_of_calls_that_have_not_run(backend):
    base = EventBase(backend=backend)
    base.call_soon_threadsafe(print)
    gc.disable()
    del base
    with pytest.warns(ResourceWarning) as warned:
        gc.collect()
    gc.enable()
    first, second = [str(warning.message) for warning in warned]
    assert "unclosed" in first
    assert "1 calls of call_soon_threadsafe" in second


def test_a_warning_that_is_an_error_leaves_the_base_closed(backend):
    base = EventBase(backend=backend)
    base.call_soon_threadsafe(print)
    with pytest.raises(ResourceWarning, match="1 calls"):
        base.close()
    assert base.closed
    base.close()


def test_calls_that_have_run_are_not_told_of(base):
    for _ in range(3):
        base.call_soon_threadsafe(lambda: None)
    base.dispatch()  # closing it would fail the test: a warning is an error here


def test_a_loop_that_runs_forever_waits_for_the_first_call(backend):
    """Without events; and a call that was made before it began is run as well."""
    seen = []
    done = threading.Event()
    with EventBase(backend=backend, exception_handler=RAISE) as base:
        base.call_soon_threadsafe(seen.append, "before")
        base.call_soon_threadsafe(done.set)
        thread = threading.Thread(target=base.dispatch, kwargs={"forever": True})
        thread.start()
        assert done.wait(10)
        for i in range(3):  # each finds it with nothing to wait for
            done.clear()
            base.call_soon_threadsafe(seen.append, i)
            base.call_soon_threadsafe(done.set)
            assert done.wait(10)
        assert thread.is_alive()
        base.loopexit()
        thread.join(20)
        assert not thread.is_alive()
    assert seen == ["before", 0, 1, 2]


def test_what_cannot_be_called_is_refused_at_once(base):
    with pytest.raises(TypeError, match="callable"):
        base.call_soon_threadsafe(3)
    assert base.dispatch() == 1
