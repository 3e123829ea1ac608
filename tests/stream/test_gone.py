"""Objects that are closed, freed, orphaned or were never set up: all but their end raises."""

import contextlib
import socket
import weakref

import pytest

from pyevent import (
    BEV_NEED_MORE,
    EV_READ,
    Buffer,
    BufferEvent,
    EventBase,
    Filter,
    RateLimit,
    RateLimitGroup,
)

# What still answers. Names of `object` that say nothing of the object itself are left out.
END = {"close", "free", "closed"}
CLASS = {
    "max_input",
    "max_output",
    "resume_output",
    "max_lookups",
    "pair",
    "pair_new",
    "socket_new",
}
SPECIAL = ["__enter__", "__len__", "__bool__", "__iter__", "__init__", "__reduce__"]

REFUSALS = (RuntimeError, TypeError, ValueError, OSError, OverflowError)


class Strange:
    """Converts to everything."""

    def __index__(self):
        return 1

    def __float__(self):
        return 1.0

    def __fspath__(self):
        return "/nowhere"

    def fileno(self):
        return 0

    def __call__(self, *args):
        return BEV_NEED_MORE

    def __iter__(self):
        return iter([b"x"])

    def get(self, name, default):
        return default


ARGUMENTS = [
    (),
    (None,),
    (b"x",),
    (1,),
    ("SO_KEEPALIVE",),
    ("SO_KEEPALIVE", 1),
    (EV_READ, 1),
    (1, 1, 1),
    (1, 1.5),
    (("127.0.0.1", 1),),
    ("localhost", 80),
    (None, 0, "localhost", 80),
    (None, {}, "localhost", 80),
    (__file__,),
    (-1,),
    (print,),
    (5, print),
    (None, None, None),
    (Strange(),),
    (Strange(), Strange()),
    (Strange(), Strange(), Strange()),
    ([b"x"],),
]


def kinds(base):
    """A live one of each class, and what it needs."""
    bev = BufferEvent(base)
    first, second = BufferEvent.pair(base)
    under = BufferEvent(base)
    limit = RateLimit(5)
    group = RateLimitGroup(base, limit)
    return {
        "BufferEvent": (bev, None),
        "pair": (first, second),
        "Filter": (Filter(under), under),
        "RateLimit": (limit, None),
        "RateLimitGroup": (group, limit),
    }


NAMES = ["BufferEvent", "pair", "Filter", "RateLimit", "RateLimitGroup"]


def gone(one, how, base):
    if how == "new":
        return type(one).__new__(type(one))
    if how == "base":
        base.close()
    elif how == "twice":
        one.free()
        one.free()
    else:
        one.free()
    return one


@pytest.mark.parametrize("how", ["free", "twice", "base", "new"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_gone_raises_whatever_is_asked_of_it(backend, name, how):
    if (name, how) == ("RateLimit", "base"):
        pytest.skip("it belongs to no base")
    with EventBase(backend=backend) as base, EventBase(backend=backend) as other:
        one, kept = kinds(base)[name]
        one = gone(one, how, base)
        more = [
            (Buffer(b"x"),),
            (other,),
            (other, -1),
            (RateLimit(1),),
            (kept,),
            (one,),
            (other, 5),
        ]
        answered = []
        for attribute in [*dir(one), *SPECIAL]:
            if attribute in END | CLASS or attribute.startswith("_") and attribute not in SPECIAL:
                continue
            if attribute == "__init__" and (how == "new" or name == "RateLimit"):
                continue
            if not hasattr(type(one), attribute):
                continue
            for args in [*ARGUMENTS, *more]:
                with contextlib.suppress(*REFUSALS):
                    value = getattr(one, attribute)
                    if callable(value):
                        value = value(*args)
                    answered.append((attribute, args, value))
        assert answered == []
        if isinstance(one, BufferEvent):
            with pytest.raises(RuntimeError):
                one.priority = 0


@pytest.mark.parametrize("how", ["free", "base", "new"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_gone_can_still_be_ended_shown_and_compared(backend, name, how):
    with EventBase(backend=backend) as base:
        one, kept = kinds(base)[name]
        one = gone(one, how, base)
        assert type(one).__name__ in repr(one)
        assert one == one  # noqa: PLR0124
        assert one != 5
        assert one in {one: 1}
        assert one.__sizeof__() > 0
        assert weakref.ref(one)() is one
        if isinstance(one, BufferEvent):
            assert one.closed
            assert one.max_input == 1 << 20
            one.close()
            one.__exit__(None, None, None)
        one.free()
        del kept


def test_what_was_closed_is_not_set_up_again(backend):
    with EventBase(backend=backend) as base:
        bev, under = BufferEvent(base), BufferEvent(base)
        over = Filter(under)
        group = RateLimitGroup(base, RateLimit(1))
        end, _ = BufferEvent.pair(base)
        for one in (bev, over, group, end):
            one.free()
        for again in (
            lambda: bev.__init__(base),
            lambda: over.__init__(bev),
            lambda: over.__init__(under),
            lambda: BufferEvent.__init__(over, base),
            lambda: group.__init__(base, RateLimit(1)),
            lambda: end.__init__(base),
        ):
            with pytest.raises(RuntimeError):
                again()


def test_wrong_kinds_of_self_are_type_errors(backend):
    near, far = socket.socketpair()
    with EventBase(backend=backend) as base, far:
        bev = BufferEvent(base, near)
        for cls in (BufferEvent, Filter, RateLimit, RateLimitGroup):
            for name in dir(cls):
                method = getattr(cls, name)
                if name.startswith("_") or not callable(method) or name in CLASS:
                    continue
                for wrong in (None, 5, base, Buffer(), object()):
                    with pytest.raises(TypeError):
                        method(wrong)
        assert bev.fd >= 0
