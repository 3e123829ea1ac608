"""Live objects of every class, and a valid value for every parameter of every public method.

Used by the programs of this folder and by the fuzzer, in processes of their own.
"""

import ast
import contextlib
import gc
import inspect
import io
import os
import re
import signal
import socket
import sys
import tempfile
import time
import types
from pathlib import Path

import pyevent
from pyevent import (
    BEV_OK,
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    Buffer,
    BufferCallback,
    BufferEvent,
    CheckWatcher,
    Datagram,
    Event,
    EventBase,
    EventConfig,
    FileSegment,
    Filter,
    Listener,
    PrepareWatcher,
    RateLimit,
    RateLimitGroup,
)

ALL = EV_READ | EV_WRITE
LISTENING = pyevent.LEV_OPT_CLOSE_ON_FREE | pyevent.LEV_OPT_REUSEABLE
TEXT = b"the first line\nthe second line\r\nand a third one"
REFUSALS = (TypeError, ValueError, OSError, RuntimeError, BufferError)

with tempfile.NamedTemporaryFile(delete=False) as _file:
    _file.write(TEXT * 20)
FILE = _file.name


class Lent(bytearray):
    """Memory that is lent to a buffer; the hook runs when nobody refers to it any more."""

    def __del__(self):
        self.world.hook()


class Callback:
    """A callback, or its argument: the hook runs in each call, and when it is dropped."""

    def __init__(self, world, function):
        self.world, self.function = world, function

    def __call__(self, *args):
        return self.function(self.world, *args)

    def __del__(self):
        self.world.hook()


def callback(function):
    """An attribute of a world: a new callback each time."""
    return property(lambda w: Callback(w, function))


class World:
    """Objects, each made when it is first asked for. *hook* runs in every callback."""

    def __init__(self, hook=None, backend=None):
        self.hook = hook or (lambda *args: None)
        self.errors = []
        self.subject = None  # whose method is called
        self.sockets = []
        self.left_open = []  # what setfd() leaves open, and objects without CLOSE_ON_FREE
        self.made = {}
        self.made["base"] = EventBase(backend=backend, exception_handler=self.failed)

    @property
    def base(self):
        return self.made["base"]

    def __getitem__(self, name):
        if name not in self.made:
            made = MAKERS[name](self)
            self.made[name] = made
        return self.made[name]

    @callback
    def note(self, *args):
        """One of any kind."""
        self.hook()

    arg = note

    @callback
    def read(self, bev, arg):
        with contextlib.suppress(REFUSALS):
            bev.read(5)
        self.hook()

    @callback
    def accepted(self, listener, fd, address, arg):
        os.close(fd)
        self.hook()

    @callback
    def pass_on(self, source, target, limit, mode, arg):
        target.add(source.remove(3))
        self.hook()
        target.add_buffer(source)
        return BEV_OK

    @callback
    def failed(self, base, context):
        if isinstance(context["exception"], SystemError):
            self.errors.append(repr(context["exception"]))
        self.hook()

    def lent(self, data):
        made = Lent(data)
        made.world = self
        return made

    def fill(self, buffer):
        buffer.add(TEXT[:20])
        buffer.add_reference(self.lent(TEXT[20:]))

    def pair_of_sockets(self):
        pair = socket.socketpair()
        for one in pair:
            one.setblocking(False)
        self.sockets += pair
        return pair

    def socket(self):
        return self.pair_of_sockets()[0]

    def number(self):
        """A descriptor that is nobody else's; given up by whoever gets it."""
        return self.socket().detach()

    def busy(self, bev):
        """With all callbacks, input and output."""
        bev.setcb(self.read, self.note, self.note, self.arg)
        bev.set_output_high(30, self.note)
        bev.setwatermark(EV_READ, 0, 100)
        bev.enable(EV_READ)
        bev.output.add_cb(self.note)
        bev.input.add_cb(self.note)
        bev.write(TEXT)
        return bev

    def mind(self, fd):
        """Close it at the end, unless it is closed by then."""
        if fd >= 0:
            self.left_open.append((fd, os.fstat(fd).st_ino))

    def turn(self):
        self.base.loop(EVLOOP_ONCE | EVLOOP_NONBLOCK)

    def end(self):
        """Close all; says what went wrong."""
        self.hook = lambda *args: None
        pyevent.event_set_log_callback(None)
        for name, one in list(self.made.items()):
            if name != "base":
                self.close(one, name)
        for one in self.sockets:
            one.close()
        with contextlib.suppress(Exception):  # that of a finalizer
            self.base.close()
        if not self.base.closed:
            self.errors.append(f"{self.base!r} does not close")
        self.made.clear()
        self.sockets.clear()
        for fd, inode in self.left_open:
            with contextlib.suppress(OSError):
                if os.fstat(fd).st_ino == inode:
                    os.close(fd)
        return self.errors

    def close(self, one, name="an object"):
        try:
            end = getattr(one, "close", None) or getattr(one, "free", None)
            end = one.remove if isinstance(one, BufferCallback) else end
            if end is not None:
                end()
        except SystemError as exc:
            self.errors.append(f"closing {name}: {exc!r}")
        except Exception:
            pass


def _event(w):
    far, near = w.pair_of_sockets()
    far.send(b"x")
    made = Event(w.base, near, EV_READ | EV_PERSIST, w.note, w.arg)
    made.add()
    return made


def _timer(w):
    made = Event.timer(w.base, w.note, w.arg)
    made.add(0)
    return made


def _signal(w):
    made = Event.signal(w.base, signal.SIGUSR2, w.note, w.arg)
    made.add()
    return made


def _buffer(w):
    made = Buffer(b"head ")
    made.add_cb(w.note, w.arg)
    w.fill(made)
    return made


def _bev(w):
    near, far = w.pair_of_sockets()
    w.made["far"] = far
    made = w.busy(BufferEvent(w.base, near, pyevent.BEV_OPT_CLOSE_ON_FREE))
    far.send(TEXT)
    return made


def _end(w):
    made, other = BufferEvent.pair(w.base)
    w.made["partner"] = other
    w.busy(made)
    w.busy(other)
    return made


def _filter(w):
    under, other = BufferEvent.pair(w.base)
    w.made["under"], w.made["partner"] = under, other
    w.busy(other)
    return w.busy(Filter(under, w.pass_on, w.pass_on, pyevent.BEV_OPT_CLOSE_ON_FREE, w.arg))


def _listener(w):
    made = Listener(w.base, ("127.0.0.1", 0), w.accepted, w.arg)
    made.set_error_cb(w.note)
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(made.address)
    w.sockets.append(client)
    return made


def _datagram(w):
    made = Datagram(w.base, ("127.0.0.1", 0))
    made.setcb(w.note, w.note, w.arg)
    made.send(b"to itself", made.address)
    return made


def _limited(w):
    made = w["bev"]
    made.set_rate_limit(w["limit"])
    made.add_to_rate_limit_group(w["group"])
    return made


def _bare(make):
    """Without callbacks, so that its base does not hold it, and with an argument."""

    def maker(w):
        made = make(w)
        if isinstance(made, (BufferEvent, Datagram)) and not isinstance(made, Filter):
            made.setcb(arg=w.arg)
        return made

    return maker


def _everything(w):
    for name in MAKERS:
        if name != "all":
            w[name]
    return w.base


MAKERS = {
    "config": lambda w: EventConfig(),
    "event": _event,
    "timer": _timer,
    "signal": _signal,
    "buffer": _buffer,
    "spare": _buffer,
    "input": lambda w: w["bev"].input,
    "entry": lambda w: w["buffer"].add_cb(w.note, w.arg),
    "bev": _bev,
    "idle": lambda w: w.busy(BufferEvent(w.base, -1, pyevent.BEV_OPT_CLOSE_ON_FREE)),
    "end": _end,
    "filter": _filter,
    "limited": _limited,
    "listener": _listener,
    "datagram": _datagram,
    "limit": lambda w: RateLimit(1000, 2000, 1000, 2000, 0.5),
    "group": lambda w: RateLimitGroup(w.base, w["limit"]),
    "prepare": lambda w: PrepareWatcher(w.base, w.note, w.arg),
    "check": lambda w: CheckWatcher(w.base, w.note, w.arg),
    "segment": lambda w: FileSegment(FILE),
    "bare bev": _bare(lambda w: BufferEvent(w.base)),
    "bare end": _bare(lambda w: BufferEvent.pair(w.base)[0]),
    "bare filter": _bare(lambda w: Filter(BufferEvent.pair(w.base)[0], arg=w.arg)),
    "bare listener": _bare(lambda w: Listener(w.base, ("127.0.0.1", 0), None, w.arg)),
    "bare datagram": _bare(lambda w: Datagram(w.base, ("127.0.0.1", 0))),
    "all": _everything,
}
BARE = {
    "bare bev": BufferEvent,
    "bare end": BufferEvent,
    "bare filter": Filter,
    "bare listener": Listener,
    "bare datagram": Datagram,
}

# The objects whose methods are called. The base comes last: it turns all others.
SUBJECTS = {
    "config": EventConfig,
    "event": Event,
    "timer": Event,
    "signal": Event,
    "buffer": Buffer,
    "input": Buffer,
    "entry": BufferCallback,
    "bev": BufferEvent,
    "idle": BufferEvent,
    "end": BufferEvent,
    "limited": BufferEvent,
    "filter": Filter,
    "listener": Listener,
    "datagram": Datagram,
    "limit": RateLimit,
    "group": RateLimitGroup,
    "prepare": PrepareWatcher,
    "check": CheckWatcher,
    "segment": FileSegment,
    "base": EventBase,
}
CLASSES = {cls: name for name, cls in reversed(SUBJECTS.items())}  # each with its first subject
TYPES = (*CLASSES, type(Event.__mro__[1]))

# By "Class.method.parameter", "method.parameter" or "parameter". The first that is found counts.
VALUES = {
    "Datagram.__init__.fd_or_address": lambda w: ("127.0.0.1", 0),
    "Datagram.connect.address": lambda w: w["datagram"].address,
    "Datagram.send.address": lambda w: w["datagram"].address,
    "Listener.__init__.address": lambda w: ("127.0.0.1", 0),
    "Listener.__init__.callback": lambda w: w.accepted,
    "Listener.__init__.flags": lambda w: LISTENING,
    "Listener.new.callback": lambda w: w.accepted,
    "Listener.new.fd": lambda w: listening(w),
    "Listener.new.flags": lambda w: LISTENING,
    "Listener.new_bind.address": lambda w: ("127.0.0.1", 0),
    "Listener.new_bind.callback": lambda w: w.accepted,
    "Listener.new_bind.flags": lambda w: LISTENING,
    "Listener.set_cb.callback": lambda w: w.accepted,
    "EventBase.__init__.config": lambda w: None,
    "EventBase.call_soon_threadsafe.args": lambda w: w.arg,
    "EventConfig.avoid_method.name": lambda w: "select",
    "avoid_method.name": lambda w: "select",
    "dump_events.file": lambda w: io.StringIO(),
    "on_event.what": lambda w: pyevent.BEV_EVENT_EOF,
    "trigger_event.what": lambda w: pyevent.BEV_EVENT_EOF,
    "find.what": lambda w: b"line",
    "search.what": lambda w: b"line",
    "search_range.what": lambda w: b"line",
    "getwatermark.events": lambda w: EV_READ,
    "set_keepalive.seconds": lambda w: 5,
    "search.end": lambda w: 40,
    "commit.size": lambda w: 2,
    "call_soon_threadsafe.callback": lambda w: w.note,
    "reserve.size": lambda w: 64,
    "pullup.size": lambda w: 30,
    "socket_connect_hostname_hints.hints": lambda w: {"family": 2},
    "address": lambda w: w["listener"].address,
    "arg": lambda w: w.arg,
    "at_front": lambda w: True,
    "backend": lambda w: "poll",
    "backlog": lambda w: -1,
    "base": lambda w: w.base,
    "buf": lambda w: w["spare"],
    "callback": lambda w: w.note,
    "clear": lambda w: False,
    "config": lambda w: w["config"],
    "context": lambda w: {"message": "m", "exception": KeyError(1), "source": None},
    "data": lambda w: b"data",
    "decr": lambda w: 1,
    "dns_base": lambda w: None,
    "end": lambda w: 40,
    "entry": lambda w: w["entry"],
    "eol": lambda w: pyevent.EVBUFFER_EOL_LF,
    "ev": lambda w: w["event"],
    "event": lambda w: w["event"],
    "eventcb": lambda w: w.note,
    "events": lambda w: ALL,
    "exc_info": lambda w: None,
    "exception_handler": lambda w: w.failed,
    "family": lambda w: 0,
    "fd": lambda w: w.socket(),
    "features": lambda w: 0,
    "file": lambda w: FILE,
    "flag": lambda w: 0,
    "flags": lambda w: 0,
    "forever": lambda w: True,
    "fn": lambda w: w.note,
    "group": lambda w: w["group"],
    "highmark": lambda w: 50,
    "hints": lambda w: {"family": 2},
    "hostname": lambda w: "127.0.0.1",
    "howmuch": lambda w: 10,
    "info": lambda w: 1.0,
    "input_filter": lambda w: w.pass_on,
    "iotype": lambda w: ALL,
    "key": lambda w: 3,
    "length": lambda w: 30,
    "limit": lambda w: w["limit"],
    "lowmark": lambda w: 1,
    "mark": lambda w: 5,
    "max": lambda w: 2,
    "max_callbacks": lambda w: 5,
    "max_input": lambda w: 1000,
    "max_interval": lambda w: 0.5,
    "max_line": lambda w: 100,
    "max_lookups": lambda w: 10,
    "max_output": lambda w: 1000,
    "min_priority": lambda w: 0,
    "mode": lambda w: pyevent.BEV_FLUSH,
    "n": lambda w: 2,
    "name": lambda w: "SO_KEEPALIVE",
    "ncalls": lambda w: 1,
    "offset": lambda w: 2,
    "on": lambda w: True,
    "options": lambda w: pyevent.BEV_OPT_CLOSE_ON_FREE,
    "other": lambda w: w["spare"],
    "output_filter": lambda w: w.pass_on,
    "parts": lambda w: [b"some", b"parts"],
    "pieces": lambda w: [b"some", b"pieces"],
    "port": lambda w: w["listener"].address[1],
    "priority": lambda w: 0,
    "read": lambda w: 0.5,
    "read_burst": lambda w: 2000,
    "read_rate": lambda w: 1000,
    "readcb": lambda w: w.read,
    "res": lambda w: EV_TIMEOUT,
    "resume_output": lambda w: 100,
    "restart": lambda w: True,
    "seconds": lambda w: 0.25,
    "segment": lambda w: w["segment"],
    "share": lambda w: 100,
    "signum": lambda w: signal.SIGUSR2,
    "size": lambda w: 7,
    "slow_callback": lambda w: 1.0,
    "start": lambda w: 1,
    "tick": lambda w: 0.5,
    "timeout": lambda w: 0.001,
    "underlying": lambda w: BufferEvent.pair(w.base)[0],
    "unlink_stale": lambda w: False,
    "unset_environment": lambda w: False,
    "value": lambda w: 1,
    "view": lambda w: view_of(w),
    "what": lambda w: EV_READ,
    "which": lambda w: 0,
    "write": lambda w: 0.5,
    "write_burst": lambda w: 2000,
    "write_rate": lambda w: 1000,
    "writecb": lambda w: w.note,
}


def listening(w):
    made = socket.create_server(("127.0.0.1", 0))
    w.sockets.append(made)
    return made


def view_of(w):
    """Space that was reserved in the buffer whose commit() is to be called."""
    with contextlib.suppress(Exception):
        return w.subject.reserve(10)
    return memoryview(bytearray(10))


def constructors():
    """Of constructors inspect knows nothing, so their parameters are those of the stubs."""
    found = {}
    for cls in CLASSES:
        if cls is BufferCallback:
            continue
        stub = Path(pyevent.__file__).with_name(f"{cls.__module__.rpartition('.')[2]}.pyi")
        tree = ast.parse(stub.read_text())
        body = next(n.body for n in tree.body if getattr(n, "name", "") == cls.__name__)
        init = [n.args for n in body if getattr(n, "name", "") == "__init__"]
        names = [a.arg for a in init[0].args[1:]] if init else []
        found[cls] = names, [a.arg for a in init[0].kwonlyargs] if init else []
    return found


CONSTRUCTORS = constructors()
BLOCKING = {"dispatch", "loop"}
# Of every object: they are Python's own, or say by themselves that they are refused.
COMMON = set(dir(object)) | {
    "__reduce_cython__",
    "__setstate_cython__",
    "__pyx_vtable__",
    "__del__",
}


class Method:
    """Something public that can be called: its name and its parameters after self."""

    def __init__(self, owner, name, call, parameters, keywords=(), takes_self=False):
        self.owner, self.name, self.call = owner, name, call
        self.parameters, self.keywords, self.takes_self = parameters, keywords, takes_self

    def __repr__(self):
        return f"{self.owner.__name__}.{self.name}" if self.owner else self.name

    def value(self, w, parameter):
        owner = self.owner.__name__ if self.owner else ""
        keys = (f"{owner}.{self.name}.{parameter}", f"{self.name}.{parameter}", parameter)
        for key in keys:
            if key in VALUES:
                return VALUES[key](w)
        raise LookupError(f"no valid value for {keys[0]}: add one to VALUES of {__file__}")

    def values(self, w):
        return [self.value(w, parameter) for parameter in self.parameters]

    def arguments(self, values):
        """Split into those by position and those by keyword."""
        at = len(self.parameters) - len(self.keywords)
        return values[:at], dict(zip(self.keywords, values[at:], strict=True))

    def run(self, w, subject, values):
        """With *subject* as self."""
        positional, by_keyword = self.arguments(values)
        if self.name == "setfd":  # which leaves the old one open
            with contextlib.suppress(Exception):
                w.mind((subject or values[0]).fileno())
        if self.name in BLOCKING:
            w.base.loopexit(0.002)
        if self.takes_self:
            return self.call(subject, *positional, **by_keyword)
        return self.call(*positional, **by_keyword)


def parameters_of(function):
    """(all names, those that are given by keyword); self is none of them."""
    text = getattr(function, "__text_signature__", None)
    if text is None:
        if isinstance(function, types.FunctionType):
            return list(inspect.signature(function).parameters), []
        return [], []
    names, keywords, after = [], [], False
    for part in text.strip("()").split(","):
        name = re.split(r"[:=]", part)[0].strip()
        if name == "*":
            after = True
        elif name and name != "/" and not name.startswith("$"):
            names.append(name.strip("*"))
            keywords += names[-1:] if after else []
    return names, keywords


def methods_of(cls, inherited=True):
    """All that can be called of a class, its constructor and its attributes' setters too."""
    found = []
    for name in dir(cls):
        raw = inspect.getattr_static(cls, name)
        if name in COMMON - {"__repr__"} or not inherited and name not in vars(cls):
            continue
        if isinstance(raw, (types.GetSetDescriptorType, property)):
            found.append(
                Method(cls, name, lambda self, name=name: getattr(self, name), [], (), True)
            )
            key = {"max_read": "size", "enabled": "on"}.get(name, name)
            if key in VALUES and not isinstance(raw, property):
                call = lambda self, value, name=name: setattr(self, name, value)  # noqa: E731
                found.append(Method(cls, f"{name} =", call, [key], (), True))
            continue
        call = getattr(cls, name)
        if not callable(call):  # a number that subclasses set
            continue
        bound = getattr(call, "__self__", None) is cls
        names, keywords = parameters_of(call)
        if name in ("__getitem__", "__contains__"):
            names = ["key"]
        found.append(Method(cls, name, call, names, keywords, not bound))
    return found


def constructor_of(cls):
    names, keywords = CONSTRUCTORS[cls]
    return Method(cls, "__init__", cls.__init__, names + keywords, keywords, True)


def flat_functions():
    """Every flat name and every function of the package as (name, Method), each once."""
    found, seen = [], set()
    for name in sorted(dir(pyevent)):
        call = getattr(pyevent, name)
        key = (getattr(call, "__self__", None), getattr(call, "__name__", name))
        public = name.startswith(("ev", "bufferevent_", "libevent_")) or isinstance(
            call, (types.FunctionType, types.BuiltinFunctionType)
        )
        if isinstance(call, types.MethodDescriptorType):
            key = call
        if name.startswith("_") or not public or isinstance(call, type) or not callable(call):
            continue
        if key in seen:
            continue
        seen.add(key)
        names, keywords = parameters_of(call)
        of_class = getattr(call, "__objclass__", None)
        if of_class is not None:  # a method: self is one more argument
            names = ["self", *names]
        of_class = of_class or getattr(call, "__self__", None)
        if not isinstance(of_class, type):
            of_class = None
        found.append(
            (name, Method(of_class, getattr(call, "__name__", name), call, names, keywords))
        )
    return found


# --- what is left behind ------------------------------------------------------------------


def descriptors():
    return len(os.listdir("/dev/fd"))


class Ledger:
    """What the process has before the calls; `difference()` after each should be empty."""

    def __init__(self):
        for _ in range(2):
            w = World()
            for name in MAKERS:
                w[name]
            w.turn()
            w.end()
            del w
        gc.collect()
        gc.freeze()
        self.start()

    def start(self):
        pyevent.Buffer().close()
        self.allocations, self.open = pyevent.live_allocations(), descriptors()

    def difference(self):
        """As text; the next difference is to what is there now."""
        for attempt in range(40):
            gc.collect()
            pyevent.Buffer().close()  # the last buffer of this thread: it keeps no segments
            now = pyevent.live_allocations()
            if now == self.allocations and descriptors() == self.open:
                return ""
            if attempt > 2:  # a lookup ends in a thread of its own
                time.sleep(0.005)
        more = {k: n - self.allocations[k] for k, n in now.items() if n != self.allocations[k]}
        text = f"left behind: {more}" if more else ""
        if descriptors() != self.open:
            text += f" {descriptors() - self.open} descriptors"
        self.start()
        return text


def quiet():
    """Nothing that is only told ends up as an error; a SystemError is kept."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.getLogger("pyevent").addHandler(logging.NullHandler())
    logging.getLogger("pyevent").propagate = False
    kept = []

    def told(unraisable):
        if isinstance(unraisable.exc_value, SystemError):
            kept.append(f"unraisable {unraisable.exc_value!r} in {unraisable.object!r}")

    sys.unraisablehook = told
    return kept
