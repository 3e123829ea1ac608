"""What becomes of an exception that a callback raises."""

import gc
import logging
import pickle
import sys
import weakref

import pytest

from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    RAISE,
    BufferEvent,
    Event,
    EventBase,
    errors,
)


class Failure(Exception):
    pass


def fail(fd, what, arg):
    raise Failure(arg)


@pytest.fixture
def lenient(backend, no_leaked_fds):
    """A base with the default handler."""
    with EventBase(backend=backend) as base:
        yield base


def test_by_default_it_is_logged_and_the_loop_goes_on(lenient, caplog):
    seen = []
    failing = Event.timer(lenient, fail, "oops")
    failing.active()
    Event.timer(lenient, lambda *_: seen.append(1)).add(0)
    assert lenient.dispatch() == 1
    assert seen == [1]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pyevent", logging.ERROR)
    assert isinstance(record.exc_info[1], Failure)
    assert "in fail\n" in caplog.text  # the traceback
    assert "exception in event callback" in caplog.text
    assert repr(fail) in caplog.text


def test_a_failed_event_is_as_usable_as_before(lenient, caplog):
    ev = Event.timer(lenient, fail)
    for _ in range(2):
        ev.add(0)
        lenient.dispatch()
    assert len(caplog.records) == 2


def test_raise_leaves_dispatch_at_once(base):
    """What was active stays so and runs in the next dispatch()."""
    seen = []
    Event.timer(base, fail, "first").active()
    rest = Event.timer(base, lambda *_: seen.append("rest"))
    rest.active(EV_TIMEOUT)
    with pytest.raises(Failure, match="first") as raised:
        base.dispatch()
    assert raised.traceback[-1].name == "fail"
    assert seen == []
    assert rest.pending
    assert not base.running
    assert base.dispatch() == 1
    assert seen == ["rest"]


def test_raise_may_be_given_by_name_of_the_property(lenient):
    lenient.exception_handler = RAISE
    assert lenient.exception_handler is RAISE
    Event.timer(lenient, fail).add(0)
    with pytest.raises(Failure):
        lenient.dispatch()
    assert repr(RAISE) == "pyevent.RAISE"
    assert pickle.loads(pickle.dumps(RAISE)) is RAISE


def test_own_handler_gets_the_base_and_a_context(backend):
    seen = []
    with EventBase(backend=backend, exception_handler=lambda *args: seen.append(args)) as base:
        ev = Event.timer(base, fail, "oops")
        ev.add(0)
        assert base.dispatch() == 1
    ((got_base, context),) = seen
    assert got_base is base
    assert context["source"] is ev
    assert context["callback"] is fail
    assert str(context["exception"]) == "oops"
    assert context["exception"].__traceback__.tb_frame.f_code is fail.__code__
    assert context["message"] == "exception in event callback"


def test_own_handler_may_call_the_default_one(backend, caplog):
    def handler(base, context):
        base.default_exception_handler(context)

    with EventBase(backend=backend, exception_handler=handler) as base:
        Event.timer(base, fail, "oops").add(0)
        base.dispatch()
    assert "oops" in caplog.text


def test_exception_of_the_handler_leaves_dispatch(lenient):
    def handler(base, context):
        raise KeyError("in handler")

    lenient.exception_handler = handler
    Event.timer(lenient, fail, "oops").active()
    rest = Event.timer(lenient, fail, "rest")
    rest.active(EV_TIMEOUT)
    with pytest.raises(KeyError, match="in handler") as raised:
        lenient.dispatch()
    assert isinstance(raised.value.__context__, Failure)
    assert rest.pending


def test_handler_may_raise_the_exception_itself(lenient):
    def handler(base, context):
        raise context["exception"]

    lenient.exception_handler = handler
    Event.timer(lenient, fail, "oops").add(0)
    with pytest.raises(Failure, match="oops") as raised:
        lenient.dispatch()
    assert raised.value.__context__ is None


def test_handler_may_end_the_loop(lenient):
    lenient.exception_handler = lambda base, context: base.loopbreak()
    Event.timer(lenient, fail, "oops").active()
    Event.timer(lenient, fail, "rest").active()
    assert lenient.dispatch() == 0
    assert lenient.got_break()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_leaves_dispatch_past_any_handler(lenient, kind):
    def stop(fd, what, arg):
        raise kind("now")

    seen = []
    lenient.exception_handler = lambda *args: seen.append(args)
    Event.timer(lenient, stop).active()
    rest = Event.timer(lenient, lambda *_: seen.append("rest"))
    rest.active(EV_TIMEOUT)
    with pytest.raises(kind, match="now"):
        lenient.dispatch()
    assert seen == []
    assert rest.pending


@pytest.mark.parametrize("wrong", [1, "raise", object()])
def test_handler_must_be_callable(lenient, wrong):
    with pytest.raises(TypeError, match="exception_handler"):
        lenient.exception_handler = wrong
    with pytest.raises(TypeError, match="exception_handler"):
        EventBase(exception_handler=wrong)
    lenient.exception_handler = None
    assert lenient.exception_handler is None


@pytest.fixture
def unraisable(monkeypatch):
    """What sys.unraisablehook was told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: told.append(str(info.exc_value)))
    return told


def broken(*args, **kwargs):
    raise OSError("disk full")


def test_logging_that_fails_goes_to_the_unraisable_hook(lenient, monkeypatch, unraisable):
    """With the exception that could not be logged; the loop goes on."""
    seen = []
    monkeypatch.setattr(logging.getLogger("pyevent"), "error", broken)
    Event.timer(lenient, fail, "oops").active()
    Event.timer(lenient, lambda *_: seen.append(1)).active()
    assert lenient.dispatch() == 1
    assert unraisable == ["oops", "disk full"]
    assert seen == [1]


def test_removal_that_cannot_be_logged_ends_no_loop(lenient, monkeypatch, unraisable):
    monkeypatch.setattr(logging.getLogger("pyevent"), "error", broken)
    Event(lenient, -1, EV_PERSIST, fail, "oops").add(0.0001)
    assert lenient.dispatch() == 1
    assert unraisable[-2].startswith("removed: its callback failed 100 times")
    assert len(unraisable) == 202


def test_keyboard_interrupt_while_logging_leaves_dispatch(lenient, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(logging.getLogger("pyevent"), "error", interrupted)
    Event.timer(lenient, fail).add(0)
    with pytest.raises(KeyboardInterrupt):
        lenient.dispatch()


def test_an_object_that_cannot_be_closed_ends_no_loop(lenient, unraisable, socketpair, caplog):
    class Stubborn(BufferEvent):
        def close(self):
            raise Failure("never")

        def on_read(self):
            raise Failure("in callback")

    bev = Stubborn(lenient, socketpair[0])
    bev.enable(EV_READ)
    socketpair[1].send(b"x")
    lenient.once(-1, EV_TIMEOUT, lambda *_: lenient.loopexit(), timeout=0.05)
    assert lenient.dispatch() == 0
    assert "never" in unraisable
    assert "in callback" in caplog.text
    BufferEvent.close(bev)


def test_the_default_handler_takes_a_context_of_one_s_own(lenient, caplog):
    lenient.default_exception_handler({"message": "in tea", "exception": Failure("cold")})
    assert "in tea" in caplog.text
    for context in ({}, {"message": "in tea"}, {"message": "in tea", "exception": "cold"}):
        with pytest.raises(TypeError, match="'exception'"):
            lenient.default_exception_handler(context)


def test_failures_are_told_with_no_descriptor_free(run_python, backend):
    """What that takes is imported with the first base, not when pyevent is imported."""
    done = run_python(
        """
        import os, resource, sys
        import pyevent
        assert "logging" not in sys.modules
        base = pyevent.EventBase(backend=sys.argv[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held, calls = [], []

        def fail(fd, what, arg):
            calls.append(1)
            if len(calls) == 1:
                try:
                    while True:
                        held.append(os.dup(0))
                except OSError:
                    pass
            if len(calls) == 3:
                base.loopexit()
            {"ü": 1 / len(held)}["my mistake"]

        pyevent.Event(base, -1, pyevent.EV_PERSIST, fail).add(0.001)
        assert base.dispatch() == 0
        assert len(calls) == 3
        for fd in held:
            os.close(fd)
        base.close()
        """,
        backend,
    )
    assert done.stderr.count("KeyError: 'my mistake'") == 3, done.stderr
    assert "Logging error" not in done.stderr


def test_persistent_event_that_fails_100_times_in_a_row_is_removed(lenient, caplog):
    ev = Event(lenient, -1, EV_PERSIST, fail, "oops")
    ev.add(0.0001)
    assert lenient.dispatch() == 1
    assert not ev.pending
    assert not ev.closed
    assert len(caplog.records) == 101
    assert "100 times" in caplog.text
    assert repr(ev) in caplog.records[-1].getMessage()


def test_a_call_that_goes_well_starts_the_count_anew(lenient, caplog):
    calls = []

    def sometimes(fd, what, arg):
        calls.append(1)
        if len(calls) == 300:
            ev.delete()
        if len(calls) % 100:
            raise Failure

    caplog.set_level(logging.CRITICAL)
    ev = Event(lenient, -1, EV_PERSIST, sometimes)
    ev.add(0.0001)
    lenient.dispatch()
    assert len(calls) == 300


def test_finalizer_that_fails_goes_to_the_unraisable_hook(base, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: reported.append(str(info.exc_value)))

    class Bad:
        def __del__(self):
            raise Failure("in finalizer")

    Event.timer(base, lambda fd, what, arg: None, Bad()).add(0)
    base.dispatch()
    assert reported == ["in finalizer"]


def test_it_goes_to_the_base_that_called_even_if_the_event_has_moved(base, backend):
    def move(fd, what, arg):
        ev.close()
        ev.__init__(other, -1, 0, print)
        raise Failure("moved")

    with EventBase(backend=backend) as other:
        ev = Event.timer(base, move)
        ev.add(0)
        with pytest.raises(Failure, match="moved"):
            base.dispatch()


def test_callback_that_takes_other_arguments_is_reported(base):
    Event.timer(base, lambda: None).add(0)
    with pytest.raises(TypeError, match="argument"):
        base.dispatch()


def test_exception_is_not_kept_after_dispatch(base):
    Event.timer(base, fail).add(0)
    try:
        base.dispatch()
    except Failure as exc:
        left = weakref.ref(exc)
    gc.collect()
    assert left() is None


def test_exceptions_chain_as_in_plain_calls(base):
    """dispatch() inside an except block: the context is what was being handled."""
    Event.timer(base, fail, "inner").add(0)
    try:
        raise LookupError("outer")
    except LookupError:
        with pytest.raises(Failure, match="inner") as raised:
            base.dispatch()
    assert isinstance(raised.value.__context__, LookupError)


def test_log_failure_says_what_failed(caplog):
    context = {
        "message": "exception in tea",
        "exception": Failure("cold"),
        "source": "kettle",
        "callback": print,
    }
    errors.log_failure(context)
    assert "exception in tea: <built-in function print> of 'kettle'" in caplog.text
    assert "cold" in caplog.text
