"""Wrong arguments: each public callable with values of every type in each place."""

import contextlib
import os
import socket

from methods import LEFT_OUT, constructor_of, flat_functions, methods_of
from world import CLASSES, REFUSALS, World

from pyevent import BufferEvent, Datagram, Listener

OPEN = 700  # a number that stands for an open descriptor
REFUSED = (*REFUSALS, OverflowError, MemoryError, IndexError, NotImplementedError)


def open_number(w):
    near, far = socket.socketpair()
    near.setblocking(False)
    os.dup2(near.fileno(), OPEN)
    near.close()
    w.sockets.append(far)
    return OPEN


def unopened(cls):
    return cls.__new__(cls)


def ended(w, name):
    made = w[name]
    w.close(made)
    return made


HAVE_DESCRIPTORS = (Listener, BufferEvent, Datagram)

WRONG = {
    "None": lambda w: None,
    "-1": lambda w: -1,
    "0": lambda w: 0,
    "-2**31 - 1": lambda w: -(2**31) - 1,
    "2**63": lambda w: 2**63,
    "2**62": lambda w: 2**62,
    "-2**200": lambda w: -(2**200),
    "a descriptor": open_number,
    "nan": lambda w: float("nan"),
    "1e300": lambda w: 1e300,
    "-1.0": lambda w: -1.0,
    "a str": lambda w: "127.0.0.1",
    "'a\\0b'": lambda w: "a\0b",
    "'\\udc80'": lambda w: "\udc80",
    "''": lambda w: "",
    "bytes": lambda w: b"::1",
    "a list": lambda w: [None],
    "a tuple": lambda w: ("127.0.0.1", -1),
    "()": lambda w: (),
    "a nested tuple": lambda w: (("::1", 1), 2, 3, 4),
    "a dict": lambda w: {"family": "none"},
    "an object": lambda w: object(),
    "a class": lambda w: World,
    "a method of a class": lambda w: type(w["bev"]).close,
}
for _cls, _name in CLASSES.items():
    WRONG[_name] = lambda w, name=_name: w[name]
    WRONG[f"a closed {_name}"] = lambda w, name=_name: ended(w, name)
    WRONG[f"an unopened {_name}"] = lambda w, cls=_cls: unopened(cls)


def everything():
    for cls in CLASSES:
        if cls.__name__ != "BufferCallback":
            yield constructor_of(cls), CLASSES[cls]
        for method in methods_of(cls, inherited=False):
            yield method, CLASSES[cls]
    for name, method in flat_functions():
        if name not in LEFT_OUT:
            yield method, None


def cases(group):
    part, parts = map(int, group.split("/"))
    for number, (method, subject) in enumerate(everything()):
        if number % parts != part:
            continue
        places = list(range(len(method.parameters)))
        for place in [*places, "all"] if places else []:
            for text, wrong in WRONG.items():
                yield (
                    f"{method}({place}: {text})",
                    lambda m=method, s=subject, p=place, v=wrong: one(m, s, p, v),
                )


def one(method, subject, place, wrong):
    w = World()
    try:
        call(w, method, subject, place, wrong)
    except REFUSED:
        pass
    except Exception as exc:
        if not isinstance(exc, AttributeError) or "not writable" not in str(exc):
            w.errors.append(repr(exc))
    try:  # what was not refused may be in the loop
        if not w.base.closed:
            w.turn()
    except Exception as exc:
        w.errors.append(f"the next turn: {exc!r}")
    errors = w.end()
    close_number()
    return errors


def call(w, method, subject, place, wrong):
    if subject is not None:
        w.subject = unopened(method.owner) if method.name == "__init__" else w[subject]
        # A constructor's object must go even if nobody has closed it.
        w.made[f"new {subject}"] = w.subject
    values = [
        wrong(w) if place in (number, "all") else value_of(w, method, parameter)
        for number, parameter in enumerate(method.parameters)
    ]
    leaves_open = place == "all" or method.parameters[place] in ("flags", "options")
    result = method.run(w, w.subject if subject is not None else None, values)
    for made in [*result, w.subject] if isinstance(result, (list, tuple)) else [result, w.subject]:
        if type(made) in CLASSES:
            w.made[f"result {id(made)}"] = made
        if leaves_open and type(made) in HAVE_DESCRIPTORS:
            w.mind(made.fileno())


def value_of(w, method, parameter):
    if parameter == "self":
        w.subject = w[CLASSES[method.owner]] if method.owner in CLASSES else None
        return w.subject
    return method.value(w, parameter)


def close_number():
    """What the numbers stood for is as before."""
    with contextlib.suppress(OSError):
        os.close(OPEN)
    try:
        os.fstat(0)
    except OSError:  # a buffer closes a file that was added by its number
        os.open(os.devnull, os.O_RDONLY)
