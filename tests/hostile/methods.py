"""Every public callable, its parameters, and a valid value for each of these."""

import ast
import contextlib
import inspect
import io
import re
import signal
import socket
import types
from pathlib import Path

from world import ALL, CLASSES, FILE, BufferCallback, BufferEvent

import pyevent
from pyevent import EV_READ, EV_TIMEOUT

LISTENING = pyevent.LEV_OPT_CLOSE_ON_FREE | pyevent.LEV_OPT_REUSEABLE
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
    "socketpair.family": lambda w: socket.AF_UNIX,
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
    "err": lambda w: socket.EAI_NONAME,
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
    "include_port": lambda w: True,
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
    "nodename": lambda w: "127.0.0.1",
    "offset": lambda w: 2,
    "on": lambda w: True,
    "options": lambda w: pyevent.BEV_OPT_CLOSE_ON_FREE,
    "other": lambda w: w["spare"],
    "output_filter": lambda w: w.pass_on,
    "parts": lambda w: [b"some", b"parts"],
    "pieces": lambda w: [b"some", b"pieces"],
    "port": lambda w: w["listener"].address[1],
    "priority": lambda w: 0,
    "protocol": lambda w: 0,
    "read": lambda w: 0.5,
    "read_burst": lambda w: 2000,
    "read_rate": lambda w: 1000,
    "readcb": lambda w: w.read,
    "res": lambda w: EV_TIMEOUT,
    "resume_output": lambda w: 100,
    "restart": lambda w: True,
    "sa1": lambda w: ("127.0.0.1", 80),
    "sa2": lambda w: ("127.0.0.1", 81),
    "seconds": lambda w: 0.25,
    "segment": lambda w: w["segment"],
    "servname": lambda w: "80",
    "share": lambda w: 100,
    "signum": lambda w: signal.SIGUSR2,
    "size": lambda w: 7,
    "slow_callback": lambda w: 1.0,
    "sock": lambda w: w.socket(),
    "start": lambda w: 1,
    "text": lambda w: "127.0.0.1:80",
    "tick": lambda w: 0.5,
    "timeout": lambda w: 0.001,
    "tm": lambda w: 0,
    "type": lambda w: socket.SOCK_STREAM,
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
        stub = Path(pyevent.__file__).parents[1] / f"{cls.__module__.replace('.', '/')}.pyi"
        tree = ast.parse(stub.read_text())
        body = next(n.body for n in tree.body if getattr(n, "name", "") == cls.__name__)
        init = [n.args for n in body if getattr(n, "name", "") == "__init__"]
        names = [a.arg for a in init[0].args[1:]] if init else []
        found[cls] = names, [a.arg for a in init[0].kwonlyargs] if init else []
    return found


CONSTRUCTORS = constructors()
BLOCKING = {"dispatch", "loop"}
# They change the process for good, or give descriptors to the caller.
LEFT_OUT = {"event_enable_debug_mode", "libevent_global_shutdown", "listen_fds"}
LEFT_OUT |= {"live_allocations", "evutil_socketpair"}
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
