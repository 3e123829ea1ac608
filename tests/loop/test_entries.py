"""What an argument's conversion, a finalizer or a handler does inside a call harms nothing.

Every public method is called with arguments that close, while they are converted, the very
objects that the call is about. Run under ASan (make pytest-san) this shows reads of freed memory.
"""

import contextlib
import functools
import gc
import inspect
import signal
import types
import weakref

import pytest

import pyevent
from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EVLOOP_NONBLOCK,
    RAISE,
    BufferEvent,
    CheckWatcher,
    Event,
    EventBase,
    EventConfig,
    PrepareWatcher,
)


@pytest.fixture(autouse=True)
def nothing_left(no_leaked_fds):
    gc.collect()
    before = pyevent.live_allocations()
    yield
    gc.collect()
    assert pyevent.live_allocations() == before


def nothing(*args):
    return None


class Hostile:
    """A number, a descriptor and a truth value that does something first, once."""

    def __init__(self, act, value):
        self.act, self.value = act, value

    def convert(self):
        act, self.act = self.act, nothing
        act()
        return self.value

    def __index__(self):
        return int(self.convert())

    def __float__(self):
        return float(self.convert())

    def __bool__(self):
        return bool(self.convert())

    def __eq__(self, other):
        return self.convert() == other

    def __hash__(self):
        return 1

    def __call__(self, *args):
        self.convert()

    def fileno(self):
        return int(self.convert())


# --- arguments ------------------------------------------------------------------------------

MAKERS = {
    "base": lambda base, fd: base,
    "event": lambda base, fd: Event(base, fd, EV_READ, nothing),
    "timer": lambda base, fd: Event.timer(base, nothing),
    "prepare": lambda base, fd: PrepareWatcher(base, nothing),
    "check": lambda base, fd: CheckWatcher(base, nothing),
}

# For each class its methods with good arguments; each of them is made hostile once.
CALLS = [
    ("event", "add", (0.001,)),
    ("event", "active", (EV_READ, 2)),
    ("event", "get_pending", (EV_READ,)),
    ("event", "priority_set", (0,)),
    ("event", "finalize", (nothing,)),
    ("timer", "add", (0.001,)),
    ("timer", "assign", ("base", "fd", EV_READ, nothing, 1)),
    ("timer", "__init__", ("base", "fd", EV_READ, nothing, 1)),
    ("base", "loop", (EVLOOP_NONBLOCK,)),
    ("base", "loopexit", (0.001,)),
    ("base", "once", ("fd", EV_READ, nothing, 1, 0.001)),
    ("base", "once", (-1, EV_TIMEOUT, nothing, 1, 0)),
    ("base", "call_soon_threadsafe", (nothing,)),
    ("base", "get_num_events", (7,)),
    ("base", "get_max_events", (7, True)),
    ("base", "priority_init", (3,)),
    ("base", "stats", (True,)),
    ("base", "foreach_event", (nothing, 1)),
    ("base", "active_by_fd", ("fd", EV_READ)),
    ("base", "active_by_signal", (signal.SIGUSR1,)),
    ("base", "init_common_timeout", (1,)),
    ("prepare", "__init__", ("base", nothing, 1)),
    ("check", "__init__", ("base", nothing, 1)),
]
CASES = [
    pytest.param(kind, name, arguments, i, id=f"{kind}.{name}-{i}")
    for kind, name, arguments in CALLS
    for i, argument in enumerate(arguments)
    if argument != "base"
]

ACTS = {
    "closes the object": lambda base, one: one.close(),
    "closes the base": lambda base, one: base.close(),
    "closes both": lambda base, one: (base.close(), one.close()),
    "deletes the object": lambda base, one: isinstance(one, Event) and one.delete(),
    "sets the object up anew": lambda base, one: set_up_anew(base, one),
    "runs the loop": lambda base, one: base.loop(EVLOOP_NONBLOCK),
    "collects": lambda base, one: gc.collect(),
}


def set_up_anew(base, one):
    one.close()
    if isinstance(one, Event):
        one.__init__(base, -1, EV_PERSIST, nothing, object())
    elif isinstance(one, (PrepareWatcher, CheckWatcher)):
        one.__init__(base, nothing, object())
    else:
        one.__init__()


@pytest.mark.parametrize(("kind", "name", "arguments", "hostile"), CASES)
def test_an_argument_s_conversion_may_do_anything(
    backend, socketpair, caplog, kind, name, arguments, hostile
):
    fd = socketpair[0].fileno()
    for act in ACTS.values():
        base = EventBase(backend=backend)
        one = MAKERS[kind](base, fd)
        if isinstance(one, Event) and name not in ("assign", "__init__", "priority_set"):
            one.add(60)
        given = [base if x == "base" else fd if x == "fd" else x for x in arguments]
        given[hostile] = Hostile(functools.partial(act, base, one), given[hostile])
        # Whether what it was about has gone, or it takes no such object:
        with contextlib.suppress(RuntimeError, TypeError, ValueError, OSError):
            getattr(one, name)(*given)
        if not base.closed:
            socketpair[1].send(b"x")
            base.loopexit(0.001)
            base.dispatch()
        base.close()
        one.close()


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["slow_callback", "exception_handler"])
def test_a_property_s_value_may_do_anything(backend, name, act):
    base = EventBase(backend=backend)
    ev = Event.timer(base, nothing)
    ev.add(60)
    try:
        setattr(base, name, Hostile(functools.partial(ACTS[act], base, ev), 0.1))
    except RuntimeError:
        assert base.closed
    base.close()


# --- what is replaced or dropped ----------------------------------------------------------------


class Dying:
    """Callable, and does something when it goes."""

    def __init__(self, act):
        self.act = act

    def __call__(self, *args):
        pass

    def __del__(self):
        self.act()


def test_a_replaced_exception_handler_may_close_the_base(backend):
    base = EventBase(backend=backend)
    base.exception_handler = Dying(base.close)
    base.exception_handler = nothing
    assert base.closed


@pytest.mark.parametrize("kind", ["timer", "prepare", "check"])
@pytest.mark.parametrize("closes", ["object", "base"])
def test_what_a_set_up_replaces_may_close_what_was_set_up(backend, kind, closes):
    """A base that ended has left callback and argument in its objects."""
    first, second = EventBase(backend=backend), EventBase(backend=backend)
    one = MAKERS[kind](first, -1)
    one.close()
    end = one.close if closes == "object" else second.close
    arguments = (-1, 0) if kind == "timer" else ()
    one.__init__(first, *arguments, Dying(end), Dying(end))
    first.close()
    one.__init__(second, *arguments, nothing)
    assert one.closed
    second.close()


def test_a_replaced_callback_may_move_the_event_on(backend):
    """Set up anew inside the set-up: the inner one holds."""
    with EventBase(backend=backend) as base:
        ev = Event.timer(base, Dying(lambda: ev.assign(base, -1, EV_PERSIST, nothing, "inner")))
        ev.assign(base, -1, 0, nothing, "outer")
        assert ev.arg == "inner"
        assert ev.events == EV_PERSIST


def test_a_replaced_log_callback_may_set_another(backend):
    seen = []
    pyevent.event_set_log_callback(Dying(lambda: pyevent.event_set_log_callback(seen.append)))
    pyevent.event_set_log_callback(nothing)
    pyevent.event_set_log_callback(None)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("make", [PrepareWatcher, CheckWatcher])
def test_a_watcher_may_close_itself_and_then_fail_or_be_slow(backend, make, slow):
    sources = []

    def once(watcher, timeout, arg):
        watcher.close()
        raise ValueError("after close")

    def handler(base, context):
        sources.append(repr(context["source"]))

    limit = 1e-9 if slow else None
    with EventBase(backend=backend, exception_handler=handler, slow_callback=limit) as base:
        gone = weakref.ref(make(base, once))
        base.loopexit(0.001)
        base.dispatch()
    assert slow or gone() is None  # its log record keeps a slow one
    assert sources == [f"<{make.__name__} closed>"]


def test_events_may_be_closed_while_a_table_of_them_is_made(backend):
    class Named:
        def __getattr__(self, name):
            if name == "__qualname__":
                base.close()
            raise AttributeError(name)

        def __call__(self, *args):
            pass

    base = EventBase(backend=backend)
    for _ in range(3):
        Event.timer(base, Named()).add(60)
    rows = base.dump_events().splitlines()
    assert len(rows) == 3  # the title, the head, and the one that closed the others
    assert base.closed


def test_a_repr_for_a_message_may_close_the_base(backend):
    class Own(Event):
        def __repr__(self):
            base.close()
            return "own"

    base = EventBase(backend=backend)
    ev = Own(base, -1, 0, nothing)
    with pytest.raises(ValueError, match="priority 99 of own"):
        ev.priority_set(99)
    assert base.closed


# --- objects that are not open -------------------------------------------------------------------

ANSWERS = {"close", "free", "closed", "__exit__", "__del__"} | set(dir(object))
ARGUMENT_SETS = [(), (0,), (None,), (b"x",), (1.5,), (nothing,), (0, 0), (-1, 1, nothing), ({},)]
PROPERTIES = (property, type(EventBase.closed))


def opened(backend):
    base = EventBase(backend=backend)
    return base, [
        Event.timer(base, nothing),
        Event.signal(base, signal.SIGUSR1, nothing),
        PrepareWatcher(base, nothing),
        CheckWatcher(base, nothing),
    ]


def closed_one_by_one(backend):
    base, objects = opened(backend)
    for one in objects:
        one.close()
    base.close()
    return [base, *objects]


def closed_with_their_base(backend):
    base, objects = opened(backend)
    base.close()
    return [base, *objects]


def made_by_new_alone(backend):
    return [cls.__new__(cls) for cls in (EventBase, Event, PrepareWatcher, CheckWatcher)]


def closed_configuration(backend):
    config = EventConfig()
    config.close()
    return [config]


@pytest.mark.parametrize(
    "make",
    [closed_one_by_one, closed_with_their_base, made_by_new_alone, closed_configuration],
)
def test_what_is_not_open_answers_to_few_names_only(backend, make):
    for one in make(backend):
        for name in sorted(set(dir(one)) - ANSWERS):
            static = inspect.getattr_static(type(one), name)
            if isinstance(static, PROPERTIES):
                with pytest.raises((RuntimeError, ValueError)):
                    getattr(one, name)
                continue
            if isinstance(static, types.ClassMethodDescriptorType):
                continue
            for arguments in ARGUMENT_SETS:
                with pytest.raises((RuntimeError, ValueError, TypeError, KeyError)):
                    getattr(one, name)(*arguments)
        assert one.closed
        assert "closed" in repr(one)
        assert one == one
        assert hash(one) == hash(one)
        assert one.__sizeof__() > 0
        one.close()
        one.free()


# --- recursion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 10**6])
def test_a_callback_that_triggers_itself_in_c_ends_in_an_exception(run_python, limit):
    """Python's own limit does not see C's stack; where it is high, ours holds."""
    done = run_python(
        f"""
        import sys
        from pyevent import *
        if {limit}:
            sys.setrecursionlimit({limit or 0})
        seen = []
        with EventBase(exception_handler=lambda base, context: seen.append(context)) as base:
            bev = BufferEvent(base, -1)
            bev.setcb(BufferEvent.trigger, None, None, EV_READ)
            bev.trigger(EV_READ)
            assert len(seen) == 1, len(seen)
            assert isinstance(seen[0]["exception"], RecursionError), seen
            calls = []
            bev.setcb(lambda *args: calls.append(args), None, None)
            bev.trigger(EV_READ)
            assert len(calls) == 1
            bev.close()
        """
    )
    assert done.stderr == ""


def test_bases_that_run_inside_one_another_end_in_an_exception(run_python):
    run_python(
        """
        import resource, sys
        from pyevent import *
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10_000), hard))
        seen = []

        def handler(base, context):
            seen.append(context["exception"])

        bases = [EventBase(backend="select", exception_handler=handler) for _ in range(300)]
        sys.setrecursionlimit(100_000)
        for base, inner in zip(bases, bases[1:]):
            base.call_soon_threadsafe(inner.loop, EVLOOP_NONBLOCK)
        bases[0].loop(EVLOOP_NONBLOCK)
        assert [type(exc) for exc in seen] == [RecursionError], seen
        for base in bases:
            base.exception_handler = None
            base.loop(EVLOOP_NONBLOCK)
            base.close()
        """
    )


def test_callbacks_of_callbacks_are_called_as_deep_as_is_usual(backend, socketpair):
    """Forty connections, each of whose callbacks triggers that of the next."""
    with EventBase(backend=backend, exception_handler=RAISE) as base:
        seen = []
        chain = [BufferEvent(base, -1) for _ in range(40)]
        for i, bev in enumerate(chain):
            following = chain[i + 1] if i + 1 < len(chain) else None

            def callback(bev, arg, following=following):
                seen.append(bev)
                if following is not None:
                    following.trigger(EV_READ)

            bev.setcb(callback, None, None)
        chain[0].trigger(EV_READ)
        assert seen == chain
        for bev in chain:
            bev.close()
