"""Code that runs inside a call: conversions, finalizers and collections that close things.

Each public method is called with arguments whose conversion does something to the very
connection, to its base, or to what it stands on or is connected with; and with a collector
that does so in any allocation. The call may refuse. Nothing may crash, hang or leak.
"""

import contextlib
import gc
import os
import socket
import sys

import pytest

from pyevent import (
    BEV_NEED_MORE,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    Buffer,
    BufferEvent,
    EventBase,
    Filter,
    RateLimit,
    RateLimitGroup,
)

REFUSALS = (RuntimeError, TypeError, ValueError, OSError, BufferError, OverflowError)

# What each method takes; a function makes it of the scene.
METHODS = {
    "setcb": (print, print, print, 5),
    "getcb": (),
    "get_input": (),
    "get_output": (),
    "get_base": (),
    "getfd": (),
    "fileno": (),
    "setfd": (lambda scene: scene.number(),),
    "replacefd": (lambda scene: scene.number(),),
    "set_option": ("SO_KEEPALIVE", 1),
    "get_option": ("SO_KEEPALIVE",),
    "set_keepalive": (10,),
    "stats": (),
    "write": (b"some text",),
    "writelines": ([b"one", b"two"],),
    "sendfile": (__file__, 1, 10),
    "write_buffer": (lambda scene: scene.buffer,),
    "read": (3,),
    "read_buffer": (lambda scene: scene.buffer,),
    "connect": ("/there/is/nobody",),
    "socket_connect": (None,),
    "connect_hostname": ("127.0.0.1", 1, 0),
    "socket_connect_hostname": (None, 0, "127.0.0.1", 1),
    "socket_connect_hostname_hints": (None, {"family": 0, "flags": 0}, "127.0.0.1", 1),
    "socket_get_dns_error": (),
    "close_after_flush": (0.001,),
    "shutdown_write": (),
    "set_output_high": (5, print),
    "enable": (EV_READ | EV_WRITE,),
    "disable": (EV_READ | EV_WRITE,),
    "get_enabled": (),
    "set_timeouts": (5.0, 5.0),
    "setwatermark": (EV_READ, 1, 2),
    "getwatermark": (EV_READ,),
    "flush": (EV_READ | EV_WRITE, 1),
    "trigger": (EV_READ, 0),
    "trigger_event": (1, 0),
    "priority_set": (0,),
    "get_priority": (),
    "set_max_single_read": (10,),
    "set_max_single_write": (10,),
    "get_max_single_read": (),
    "get_max_single_write": (),
    "pair": (lambda scene: scene.base, 0),
    "pair_new": (lambda scene: scene.base, 0),
    "socket_new": (lambda scene: scene.base, lambda scene: scene.number(), BEV_OPT_CLOSE_ON_FREE),
    "pair_get_partner": (),
    "filter": (print, print, 0, 5),
    "filter_new": (print, print, 0, 5),
    "get_underlying": (),
    "set_input_max": (100,),
    "get_input_max": (),
    "set_output_pause": (100, 50),
    "get_output_pause": (),
    "set_rate_limit": (lambda scene: RateLimit(5),),
    "get_token_bucket_cfg": (),
    "get_read_limit": (),
    "get_write_limit": (),
    "get_max_to_read": (),
    "get_max_to_write": (),
    "decrement_read_limit": (1,),
    "decrement_write_limit": (1,),
    "add_to_rate_limit_group": (lambda scene: scene.group,),
    "remove_from_rate_limit_group": (),
    "close": (),
    "__enter__": (),
    "__exit__": (None, None, None),
    "__repr__": (),
    "get_partner": (),
    "free": (),
}
PROPERTIES = [
    "input",
    "output",
    "base",
    "fd",
    "error",
    "peername",
    "sockname",
    "enabled",
    "priority",
]


class Scene:
    """A connection of one kind with input and output, and what belongs to it."""

    def __init__(self, kind, base):
        self.before = descriptors()
        self.base = base
        self.group = RateLimitGroup(base, RateLimit(1000))
        self.buffer = Buffer(b"of the buffer")
        near, self.peer = socket.socketpair()
        self.near = near
        self.other = None
        if kind == "pair":
            self.bev, self.other = BufferEvent.pair(base)
            self.other.enable(EV_READ)
        elif kind == "owner":  # an object of the user's owns the descriptor
            self.bev = BufferEvent(base, Owner(near, lambda: None), options=0)
        else:
            self.bev = BufferEvent(base, near)
        if kind == "filter":
            self.other, self.bev = self.bev, Filter(self.bev, self.pass_on, self.pass_on)
        self.bev.setcb(lambda *args: None, None, lambda *args: None)
        self.bev.enable(EV_READ)
        (self.other if kind == "pair" else self.peer).__getattribute__(
            "write" if kind == "pair" else "send"
        )(b"for the input")
        base.loop(EVLOOP_NONBLOCK)
        self.bev.write(b"output")

    def pass_on(self, src, dst, *args):
        dst.add_buffer(src)
        return BEV_NEED_MORE

    def number(self):
        number = os.dup(self.peer.fileno())
        os.set_blocking(number, False)
        return number

    def close(self):
        for one in (self.bev, self.other, self.base, self.peer, self.near):
            if one is not None:
                one.close()
        for number in descriptors() - self.before:  # those that nobody has taken
            os.close(number)


def descriptors():
    """All that are open, but for the one that it takes to look."""
    return {int(name) for name in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{name}")}


class Owner:
    def __init__(self, sock, deed):
        self.sock = sock
        self.deed = deed

    def fileno(self):
        return self.sock.fileno()

    @property
    def close(self):
        self.deed()
        return self.sock.close


def again(scene):
    with contextlib.suppress(RuntimeError):
        scene.bev.__init__(scene.base)


def other_callbacks(scene):
    scene.bev.setcb(print, print, print, scene)
    scene.bev.set_output_high(1, print)


DEEDS = {
    "closes it": lambda scene: scene.bev.close(),
    "closes its base": lambda scene: scene.base.close(),
    "closes the other": lambda scene: scene.other is not None and scene.other.close(),
    "sets it up again": again,
    "sets other callbacks": other_callbacks,
    "gives it another descriptor": lambda scene: scene.bev.setfd(scene.number()),
    "runs the loop": lambda scene: scene.base.loop(EVLOOP_NONBLOCK),
    "puts a filter over it": lambda scene: scene.bev.filter().setcb(print),
}


class Hostile:
    """Stands for `value`, and does something each time it is asked for it."""

    def __init__(self, value, deed):
        self.value = value
        self.deed = deed

    def ask(self):
        self.deed()
        return self.value

    def __index__(self):
        return int(self.ask())

    __int__ = __index__

    def __float__(self):
        return float(self.ask())

    def __fspath__(self):
        return self.ask()

    def fileno(self):
        return self.ask()

    def __iter__(self):
        return iter(self.ask())

    def get(self, name, default=None):
        return self.ask().get(name, default)

    def __buffer__(self, flags):
        return memoryview(self.ask())

    def __repr__(self):
        self.deed()
        return "hostile"

    def __bool__(self):
        self.deed()
        return True

    def __eq__(self, other):
        self.deed()
        return NotImplemented

    __hash__ = None


KINDS = ["socket", "pair", "filter", "owner"]


def once(deed, scene):
    done = []

    def do():
        if not done:
            done.append(True)
            with contextlib.suppress(*REFUSALS):
                deed(scene)

    return do


@pytest.fixture
def lenient(backend):
    bases = []

    def make():
        while bases:
            bases.pop().close()
        bases.append(EventBase(backend=backend, exception_handler=lambda base, context: None))
        return bases[-1]

    yield make
    for base in bases:
        base.close()


def test_no_method_is_forgotten():
    public = {name for name in dir(BufferEvent) if not name.startswith(("_", "on_", "max_"))}
    assert public - {*METHODS, *PROPERTIES, "closed", "resume_output"} == set()


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_conversions_may_do_anything(lenient, kind, deed):
    for name, arguments in METHODS.items():
        for at in range(len(arguments)):
            scene = Scene(kind, lenient())
            args = [arg(scene) if callable(arg) and arg is not print else arg for arg in arguments]
            args[at] = Hostile(args[at], once(deed, scene))
            with contextlib.suppress(*REFUSALS, AttributeError):
                getattr(scene.bev, name)(*args)
            scene.close()


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_collector_may_do_anything_in_any_call(lenient, kind, deed):
    class Garbage:
        def __init__(self, deed):
            self.me = self
            self.deed = deed

        def __del__(self):
            self.deed()

    gc.collect()
    gc.freeze()  # else each collection looks at all that pytest has
    before = gc.get_threshold()
    try:
        for name in [*METHODS, *PROPERTIES]:
            scene = Scene(kind, lenient())
            args = METHODS.get(name, ())
            args = [arg(scene) if callable(arg) and arg is not print else arg for arg in args]
            Garbage(once(deed, scene))
            gc.set_threshold(1)
            with contextlib.suppress(*REFUSALS):
                value = getattr(scene.bev, name)
                if callable(value):
                    value(*args)
            gc.set_threshold(*before)
            value = None
            scene.close()
            gc.collect()
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Calls:
    """Calls back when it goes; may itself be called, and is a filter's function."""

    def __init__(self, deed):
        self.deed = deed

    def __call__(self, *args):
        return BEV_NEED_MORE

    def __del__(self):
        self.deed()


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["replaced", "closed", "with its base", "dropped", "filtered"])
def test_what_is_replaced_or_dropped_may_do_anything(lenient, kind, deed, end):
    for which in range(5):
        scene = Scene(kind, lenient())
        calls = [None] * 5
        calls[which] = Calls(once(deed, scene))
        scene.bev.setcb(*calls[:4])
        scene.bev.set_output_high(1 << 20, calls[4])
        calls = None
        with contextlib.suppress(*REFUSALS):
            if end == "replaced":
                scene.bev.setcb(print, arg=6)
                scene.bev.set_output_high(5, print)
            elif end == "closed":
                scene.bev.close()
                assert scene.bev.closed
            elif end == "with its base":
                scene.base.close()
                assert scene.bev.closed
            elif end == "filtered":
                scene.bev.filter()
            else:
                scene.bev.setcb(arg=Calls(once(deed, scene)))
                scene.bev = scene.other or BufferEvent(scene.base)
        scene.close()


@pytest.mark.parametrize("end", ["close", "drop", "collect"])
@pytest.mark.parametrize("deed", ["base", "under", "loop"])
@pytest.mark.parametrize("which", ["input_filter", "output_filter", "arg"])
@pytest.mark.parametrize("options", [0, BEV_OPT_CLOSE_ON_FREE])
def test_functions_of_a_filter_may_do_anything_as_they_go(lenient, end, deed, which, options):
    base = lenient()
    near, far = socket.socketpair()
    under = BufferEvent(base, near)
    deeds = {"base": base.close, "under": under.close, "loop": lambda: base.loop(EVLOOP_NONBLOCK)}

    def do():
        with contextlib.suppress(*REFUSALS):
            deeds[deed]()

    over = Filter(under, options=options, **{which: Calls(do)})
    over.enable(EV_READ)
    far.send(b"waits to be filtered")
    over.write(b"output")
    if end == "close":
        over.close()
    elif end == "collect":
        cycle = [over]
        cycle.append(cycle)
        del over, cycle
        gc.collect()
    else:
        del over
    under.close()
    far.close()


@pytest.mark.parametrize("finalizer", ["inherited", "its own"])
@pytest.mark.parametrize("where", ["attribute", "argument", "weak reference", "output_high"])
@pytest.mark.parametrize("deed", ["loop", "close base", "close under", "write"])
def test_dropped_filter_is_not_called_while_it_is_dismantled(lenient, deed, where, finalizer):
    """Also if the finalizer of its class does not call the inherited one."""
    import weakref

    base = lenient()
    near, far = socket.socketpair()
    under = BufferEvent(base, near)
    calls = []

    def function(src, dst, *args):
        calls.append(args)
        dst.add_buffer(src)
        return BEV_NEED_MORE

    class Own(Filter):
        if finalizer == "its own":

            def __del__(self):
                pass

    def do(*args):
        with contextlib.suppress(*REFUSALS):
            far.send(b"more")
            if deed == "write":
                under.output.add(b"x" * 100)
            elif deed == "close base":
                base.close()
            elif deed == "close under":
                under.close()
            else:
                base.loop(EVLOOP_NONBLOCK)
                base.loop(EVLOOP_NONBLOCK)

    over = Own(under, function, function, arg=Calls(do) if where == "argument" else None)
    over.enable(EV_READ)
    if where == "attribute":
        over.attribute = Calls(do)
    elif where == "output_high":
        over.set_output_high(1, Calls(do))
    elif where == "weak reference":
        ref = weakref.ref(over, do)
    far.send(b"waits")
    del over
    if where == "weak reference":
        assert ref() is None
    base.close()
    far.close()


@pytest.mark.parametrize("kind", ["held", "loose", "filter", "pair", "owner"])
def test_dropped_connection_leaves_its_base_before_anything_else_goes(backend, kind):
    class App:
        def __init__(self):
            self.base = EventBase(backend=backend)

        def __del__(self):
            self.base.close()
            closed.append(self.base.closed)

    closed = []
    app = App()
    base = app.base
    near, far = socket.socketpair()
    under = None
    if kind == "filter":
        under = BufferEvent(base, near)
        bev = Filter(under, arg=app)
    elif kind == "pair":
        bev, under = BufferEvent.pair(base)
        bev.setcb(arg=app)
        near.close()
    elif kind == "owner":
        app.fileno = near.fileno
        bev = BufferEvent(base, app, options=0)
    else:
        bev = BufferEvent(base, near)
        bev.setcb(print if kind == "held" else None, arg=app)
    del app
    if kind == "held":
        bev.close()
    del bev
    assert closed == [True]
    assert under is None or under.closed
    near.close()
    far.close()


def test_objects_that_are_made_twice_at_once_are_made_once(lenient):
    base = lenient()
    near, far = socket.socketpair()
    bev = BufferEvent.__new__(BufferEvent)

    class Eager:
        def fileno(self):
            if bev.closed:
                bev.__init__(base, near.fileno(), options=0)
            return near.fileno()

    for options in (0, BEV_OPT_CLOSE_ON_FREE):
        with pytest.raises(RuntimeError, match="set up already"):
            bev.__init__(base, Eager(), options)
    assert bev.fd == near.fileno()

    class Meta(type):
        def __getattribute__(cls, name):
            if name == "on_read" and over.closed:
                Filter.__init__(over, bev)
            return super().__getattribute__(name)

    class Own(Filter, metaclass=Meta):
        pass

    over = Own.__new__(Own)
    with contextlib.suppress(RuntimeError, RecursionError):
        over.__init__(BufferEvent(base))
    base.close()
    assert over.closed
    near.close()
    far.close()


def test_ends_of_a_pair_are_two_new_objects(lenient):
    base = lenient()

    class One(BufferEvent):
        one = None

        def __new__(cls, *args):
            cls.one = cls.one or super().__new__(cls)
            return cls.one

    class Old(BufferEvent):
        old = BufferEvent(base)

        def __new__(cls, *args):
            return cls.old

    class Second(BufferEvent):
        """Making the second sets the first up."""

        made = []

        def __new__(cls, *args):
            self = super().__new__(cls)
            cls.made.append(self)
            if len(cls.made) == 2:
                cls.made[0].__init__(base)
            return self

    class Nothing(BufferEvent):
        def __new__(cls, *args):
            return None

    class Stranger(BufferEvent):
        def __new__(cls, *args):
            return 5

    for cls in (One, Old, Second, Nothing, Stranger):
        with pytest.raises((TypeError, RuntimeError)):
            cls.pair(base)
    base.close()


def test_class_whose_attributes_run_code(lenient):
    for deed in ("close base", "close bev", "raise"):
        base = lenient()
        near, far = socket.socketpair()
        armed = []

        class Meta(type):
            def __getattribute__(cls, name, deed=deed, base=base, armed=armed):
                if armed and name.startswith("on_"):
                    if deed == "raise":
                        raise ZeroDivisionError
                    if deed == "close base":
                        with contextlib.suppress(RuntimeError):
                            base.close()
                    armed[0].close()
                return super().__getattribute__(name)

        class Own(BufferEvent, metaclass=Meta):
            def on_read(self):
                self.read(10)

            def on_write(self):
                pass

        bev = Own(base, near)
        bev.enable(EV_READ)
        armed.append(bev)
        far.send(b"x")
        far.close()
        hook, sys.unraisablehook = sys.unraisablehook, lambda args: None
        try:
            base.loop(EVLOOP_NONBLOCK)
            base.loop(EVLOOP_NONBLOCK)
        finally:
            sys.unraisablehook = hook
        armed.clear()
        bev.close()


def test_limits_and_groups_whose_arguments_run_code(lenient):
    base = lenient()
    limit = RateLimit(5)
    group = RateLimitGroup(base, limit)
    made = RateLimit.__new__(RateLimit)

    class Twice:
        def __index__(self):
            with contextlib.suppress(RuntimeError):
                made.__init__(7)
            return 5

    with pytest.raises(RuntimeError, match="set up already"):
        made.__init__(Twice())
    assert made.read_rate == 7

    class Own(RateLimit):
        @property
        def read_rate(self):
            self.free()
            return 1

        tick = read_rate

    own = Own(5)
    assert repr(own) == "RateLimit(5, 5, None, None, 1)"
    assert own == RateLimit(5)
    for name in ("set_min_share", "decrement_read", "decrement_write"):
        with pytest.raises(RuntimeError, match="freed"):
            getattr(group, name)(Hostile(1, group.free))
        group = RateLimitGroup(base, limit)
    for name in ("set_min_share", "decrement_read", "decrement_write"):
        base = lenient()
        group = RateLimitGroup(base, limit)
        with pytest.raises(RuntimeError, match="its base is closed"):
            getattr(group, name)(Hostile(1, base.close))


def test_exporter_of_the_bytes_that_are_written_may_close_anything(lenient):
    """Where Python classes can export buffers (3.12)."""
    if sys.version_info < (3, 12):
        pytest.skip("a class in Python cannot export a buffer")
    for deed in ("bev", "base"):
        base = lenient()
        bev = BufferEvent(base)
        with pytest.raises(RuntimeError, match="closed"):
            bev.write(Hostile(b"x", {"bev": bev, "base": base}[deed].close))


@pytest.mark.parametrize("deed", ["close", "base", "keep"])
def test_callback_of_the_input_that_lingering_drops_may_close_it(lenient, deed):
    base = lenient()
    near, far = socket.socketpair()
    bev = BufferEvent(base, near)
    bev.setcb(lambda *args: None)
    bev.enable(EV_READ)
    far.send(b"hello")
    base.loop(EVLOOP_NONBLOCK)
    deeds = {"close": bev.close, "base": base.close, "keep": lambda: bev.setcb(print)}
    bev.input.add_cb(lambda *args: deeds[deed]())
    bev.close_after_flush()
    assert bev.closed is (deed != "keep")
    far.close()


@pytest.mark.parametrize("deed", ["close", "other", "base"])
def test_lingering_of_an_end_of_a_pair_may_move_bytes_that_close_it(lenient, deed):
    base = lenient()
    bev, other = BufferEvent.pair(base)
    bev.enable(EV_READ)
    bev.setwatermark(EV_READ, 0, 2)
    other.write(b"abcdef")
    base.loop(EVLOOP_NONBLOCK)
    deeds = {"close": bev.close, "other": other.close, "base": base.close}
    bev.input.add_cb(lambda buf, change, arg: deeds[deed]() if change.n_added else None)
    with contextlib.suppress(RuntimeError):
        bev.close_after_flush()
    base.close()


@pytest.mark.parametrize("deed", ["under", "other", "base", "another filter"])
def test_filter_over_an_end_of_a_pair_whose_bytes_close_it_is_not_made(lenient, deed):
    base = lenient()
    under, other = BufferEvent.pair(base)
    other.enable(EV_READ)
    under.disable(EV_WRITE)
    under.write(b"data")
    made = []
    deeds = {
        "under": under.close,
        "other": other.close,
        "base": base.close,
        "another filter": lambda: made.append(Filter(under)),
    }
    other.input.add_cb(lambda *args: once(lambda scene: deeds[deed](), None)())
    try:
        over = Filter(under)
    except RuntimeError:
        assert deed != "other"
    else:
        assert not over.closed
    base.close()


def test_dropped_filter_of_several_classes_closes_what_goes_with_it(lenient):
    """Whichever of them has the finalizer that comes first."""
    base = lenient()

    class Side(BufferEvent):
        pass

    class Packed(Side, Filter):
        pass

    class Other(Filter, Side):
        pass

    for cls in (Packed, Other):
        under = BufferEvent(base)
        Filter.__init__(over := cls.__new__(cls), under, options=BEV_OPT_CLOSE_ON_FREE)
        assert not under.closed
        del over
        assert under.closed
