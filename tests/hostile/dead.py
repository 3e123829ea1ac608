"""Every attribute of objects that are not alive: never opened, closed, or orphaned."""

import itertools
import weakref

from methods import methods_of
from world import CLASSES, EventBase, World

from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    BufferCallback,
    BufferEvent,
    Event,
    EventConfig,
    RateLimit,
)

ANSWER = {"close", "free", "closed", "__exit__", "__repr__"}
EITHER = {"on_read", "on_write", "on_event", "on_accept"}  # to be overridden
ANSWER_OF = {
    BufferCallback: {"remove", "removed"},
    Event: {"assign"},  # which sets it up again
}
ARGUMENTS = {
    "None": lambda w, m: [None] * len(m.parameters),
    "0": lambda w, m: [0] * len(m.parameters),
    "1": lambda w, m: [1] * len(m.parameters),
    "-1": lambda w, m: [-1] * len(m.parameters),
    "bytes": lambda w, m: [b"bytes"] * len(m.parameters),
    "valid": lambda w, m: m.values(w),
    "none at all": lambda w, m: [],
}


def unopened(w, name):
    cls = type(w[name])
    return cls.__new__(cls)


def closed(w, name):
    made = w[name]
    w.close(made)
    return made


def without_base(w, name):
    made = w[name]
    w.base.close()
    return made


def without_connection(w, name):
    made = w["bev"].input if name == "buffer" else w["bev"].output
    w["bev"].close()
    return made


def pair_without_base(w, name):
    made = w["end"]
    w.base.close()
    return made


def filter_without_underlying(w, name):
    under = BufferEvent.pair(w.base)[0]
    made = under.filter(None, None, BEV_OPT_CLOSE_ON_FREE)
    w.base.close()
    return made


def entry_without_buffer(w, name):
    made = w["entry"]
    w["buffer"].close()
    return made


def states():
    for cls, name in CLASSES.items():
        if cls in (EventConfig, EventBase):
            yield cls, name, unopened
        else:
            yield cls, name, unopened
            if cls is not RateLimit:
                yield cls, name, without_base
        if cls is not EventConfig:
            yield cls, name, closed
    buffer = type(World()["buffer"])
    yield buffer, "buffer", without_connection
    yield buffer, "output", without_connection
    yield BufferEvent, "end", pair_without_base
    yield BufferEvent, "bev", filter_without_underlying
    yield BufferCallback, "entry", entry_without_buffer


STATES = list(states())
# These belong to no base, and so its end is not theirs.
WITHOUT_BASE = {"buffer", "entry", "segment", "limit", "group"}


def cases(group):
    for cls, name, make in STATES:
        if make is without_base and name in WITHOUT_BASE or make is unopened and name == "config":
            continue
        for method, (text, values) in itertools.product(methods_of(cls), ARGUMENTS.items()):
            if text != "none at all" and not method.parameters:
                continue
            label = f"{method}({text}) of {make.__name__} {name}"
            yield label, lambda a=(cls, name, make, method, values): one(*a)
        yield f"what answers of {make.__name__} {name}", lambda a=(name, make): answers(*a)


def one(cls, name, make, method, values):
    w = World()
    w.subject = w.made["dead"] = make(w, name)
    answers = method.name in ANSWER | ANSWER_OF.get(cls, set()) or not method.takes_self
    try:
        result = method.call(*([w.subject] if method.takes_self else []), *values(w, method))
    except (ValueError, RuntimeError, TypeError, OverflowError, OSError) as exc:
        if answers and not method.parameters:
            w.errors.append(f"does not answer: {exc!r}")
    except Exception as exc:
        if not isinstance(exc, AttributeError) or "not writable" not in str(exc):
            w.errors.append(repr(exc))
    else:
        if not answers and method.name not in EITHER:
            w.errors.append(f"answers {result!r:.60}")
    return w.end()


def answers(name, make):
    w = World()
    dead = make(w, name)
    w.made["dead"] = dead
    hash(dead), repr(dead), str(dead), dead.__sizeof__(), dir(dead)
    same, other = dead, object()
    if not (dead == same) or dead != same or dead == other:  # noqa: SIM201
        w.errors.append("compares wrongly")
    if hasattr(dead, "closed"):
        if dead.closed is not True:
            w.errors.append("is not closed")
        w.close(dead), w.close(dead)
        dead.__exit__(None, None, None)
    if type(dead).__weakrefoffset__:
        weakref.ref(dead)
    return w.end()
