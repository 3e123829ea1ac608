"""What happens in the middle of a call, and the objects that make it happen."""

import contextlib
import gc
import os
import signal
import socket
import sys
import threading

from methods import CONSTRUCTORS, constructor_of
from world import ALL, CLASSES, FILE, Buffer, BufferEvent, Event, EventBase, Listener

from pyevent import EVLOOP_NONBLOCK, EVLOOP_ONCE


class Trap:
    """Runs *deed* at its nth hit."""

    def __init__(self, deed=None, nth=1):
        self.deed, self.nth, self.hits = deed, nth, 0

    def __call__(self, *args):
        self.hits += 1
        if self.hits == self.nth and self.deed is not None:
            self.deed()


# --- deeds ------------------------------------------------------------------------------


def close_self(w):
    w.close(w.subject)


def close_base(w):
    w.close(w.base)


def close_others(w):
    for one in list(w.made.values()):
        if one is not w.subject and not isinstance(one, EventBase):
            w.close(one)


def close_all(w):
    close_others(w), close_self(w), close_base(w)


def set_up_again(w):
    for one in [w.subject, *w.made.values()]:
        if type(one) in CONSTRUCTORS:
            again = constructor_of(type(one))
            with contextlib.suppress(Exception):
                again.run(w, one, again.values(w))


def drop(w):
    """All references but the base's and that of the call itself."""
    base, w.subject = w.base, None
    w.made.clear()
    w.made["base"] = base


def turn(w):
    w.base.loop(EVLOOP_ONCE | EVLOOP_NONBLOCK)


class Garbage:
    def __init__(self, deed, w):
        self.deed, self.w, self.me = deed, w, self

    def __del__(self):
        with contextlib.suppress(Exception):
            self.deed(self.w)


def collect(w):
    Garbage(close_all, w)
    gc.collect()


def thread(w):
    one = threading.Thread(target=close_all, args=(w,))
    one.start()
    one.join()


def fork(w):
    """A child that closes all and ends; the parent goes on."""
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, 10)
        with contextlib.suppress(Exception):
            w.turn()
        with contextlib.suppress(Exception):
            close_all(w)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if status:
        w.errors.append(f"the forked child ended with status {status}")


def fork_in_a_thread(w):
    """The thread whose call or loop it is does not exist in the child."""
    one = threading.Thread(target=fork, args=(w,))
    one.start()
    one.join()


def change(w):
    """Other callbacks, other contents, another descriptor: all at once."""
    for one in [w.subject, *w.made.values()]:
        with contextlib.suppress(Exception):
            if isinstance(one, BufferEvent):
                one.setcb(None, None, None, None)
                w.mind(one.fileno())
                one.setfd(-1)
                one.disable(ALL)
            elif isinstance(one, Buffer):
                one.drain()
                one.add(b"other contents " * 500)
            elif isinstance(one, Event):
                one.delete()
                one.add(5)
            elif isinstance(one, Listener):
                one.set_cb(None)
                one.disable()


def fail(w):
    raise LookupError("a deed")


DEEDS = (
    close_self, close_base, close_others, close_all, set_up_again, drop, turn, collect, thread,
    change, fail,
)  # fmt: skip


# --- hostile values -----------------------------------------------------------------------


def trapped(trap, __bases=(object,), **results):
    """A class whose methods hit the trap and give these results."""

    def method(result):
        def hit(self, *args, **kwargs):
            trap()
            return result() if callable(result) else result

        return hit

    results = {"__repr__": "trapped", "__hash__": 0, "__eq__": False} | results
    return type("Trapped", __bases, {name: method(result) for name, result in results.items()})


def number(trap, valid, w):
    n = valid if isinstance(valid, (int, float)) else 1
    return trapped(trap, __index__=int(n), __int__=int(n), __float__=float(n), __bool__=True)()


def path(trap, valid, w):
    return trapped(trap, __fspath__=FILE)()


def file(trap, valid, w):
    return trapped(trap, fileno=lambda: w.socket().fileno(), close=None, write=5, detach=-1)()


def socket_object(trap, valid, w):
    class Trapped(socket.socket):
        def fileno(self):
            trap()
            return super().fileno()

        def detach(self):
            trap()
            return super().detach()

        def setblocking(self, flag):
            trap()
            return super().setblocking(flag)

        def __repr__(self):
            trap()
            return "trapped"

    one = w.socket()
    made = Trapped(one.family, one.type, fileno=one.detach())
    w.sockets.append(made)
    return made


def data(trap, valid, w):
    base = bytes if sys.version_info < (3, 12) else object
    cls = trapped(
        trap, (base,), __len__=4, __bytes__=b"data", __iter__=lambda: iter(b"data"),
        __getitem__=1, __buffer__=lambda: memoryview(b"data"), __release_buffer__=None,
    )  # fmt: skip
    return cls(b"data") if base is bytes else cls()


def items(trap, valid, w):
    pieces = valid if isinstance(valid, (list, tuple)) else [b"a"]

    def generate():
        for piece in pieces:
            trap()
            yield piece

    return trapped(trap, __iter__=generate, __len__=len(pieces), __getitem__=b"a")()


def elements(trap, valid, w):
    """A list or tuple of the kind that is wanted, of hostile elements."""
    if isinstance(valid, slice) or valid == 3:
        return slice(number(trap, 1, w), number(trap, 9, w), number(trap, 1, w))
    if isinstance(valid, tuple) and len(valid) == 2:
        return text(trap, valid[0], w), number(trap, valid[1], w)
    return [data(trap, b"a", w), data(trap, b"b", w)]


def mapping(trap, valid, w):
    value = number(trap, 0, w)
    return trapped(trap, (dict,), get=value, __getitem__=value, keys=["family"])()


def text(trap, valid, w):
    value = valid if isinstance(valid, str) else "127.0.0.1"
    results = {"encode": value.encode(), "isascii": True, "__str__": value, "__bool__": True}
    return trapped(trap, (str,), **results)(value)


def function(trap, valid, w):
    return trapped(trap, __call__=lambda: valid() if callable(valid) else None)()


def attributes(trap, valid, w):
    class Trapped:
        @property
        def __class__(self):
            trap()
            return Trapped

        def __getattr__(self, name):
            trap()
            raise AttributeError(name)

    return Trapped()


def subclass(trap, valid, w):
    """Of the class that is wanted."""
    cls = type(valid)
    if cls not in CLASSES or cls not in CONSTRUCTORS:
        return None

    class Trapped(cls):
        def __getattribute__(self, name):
            trap()
            return super().__getattribute__(name)

        def __repr__(self):
            trap()
            return "trapped"

    make = constructor_of(cls)
    positional, keywords = make.arguments(make.values(w))
    made = w.made["subclass"] = Trapped(*positional, **keywords)
    return made


VALUES = (
    number, path, file, socket_object, data, items, elements, mapping, text, function,
    attributes, subclass,
)  # fmt: skip
FORKS = (fork, fork_in_a_thread)  # slow: for callbacks alone
