"""Live objects of every class, and a valid value for every parameter of every public method.

Used by the programs of this folder and by the fuzzer, in processes of their own.
"""

import contextlib
import os
import signal
import socket
import tempfile

import pyevent
from pyevent import (
    BEV_OK,
    EV_PERSIST,
    EV_READ,
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
        base = self.made.get("base")  # None: forked while another thread replaced it
        with contextlib.suppress(Exception):  # that of a finalizer
            if base is not None:
                base.close()
        if base is not None and not base.closed:
            self.errors.append(f"{base!r} does not close")
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
