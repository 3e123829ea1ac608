"""Listener and Datagram: objects that are closed, arguments that close them, finalizers."""

import contextlib
import gc
import itertools
import os
import socket
import sys
import weakref

import pytest

import pyevent
from pyevent import EV_TIMEOUT, RAISE, Datagram, EventBase, Listener

ANY = ("127.0.0.1", 0)
CLASSES = [Listener, Datagram]

# What answers whatever has become of the object.
ALWAYS = {"close", "free", "closed", "__exit__"}
# What object has, and does not concern what is in it.
OBJECTS = set(dir(object)) | {"__module__", "__del__"}


def never_set_up(cls, base):
    return cls.__new__(cls)


def closed(cls, base):
    one = cls(base, ANY)
    one.close()
    return one


def freed_in_a_with(cls, base):
    with cls(base, ANY) as one:
        pass
    return one


def orphaned(cls, base):
    other = EventBase()
    one = cls(other, ANY)
    other.close()
    return one


def failed_to_be_set_up(cls, base):
    one = cls.__new__(cls)
    with pytest.raises(ValueError, match="numeric"):
        one.__init__(base, ("localhost", 0))
    return one


def argument_sets(n):
    yield from itertools.product([None, 5, b"x", print], repeat=n)
    yield (print, ANY)[:n]
    yield (b"x", ANY)[:n]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    "make", [never_set_up, closed, freed_in_a_with, orphaned, failed_to_be_set_up]
)
def test_every_name_of_one_that_is_not_open_raises(base, cls, make):
    one = make(cls, base)
    for name in set(dir(one)) - ALWAYS - OBJECTS - {"__pyx_vtable__", "__test__"}:
        if isinstance(getattr(cls, name), int) or name in ("new", "new_bind"):
            continue  # of the class
        try:
            found = getattr(one, name)
        except RuntimeError:
            continue  # a property
        for arguments in itertools.chain(*map(argument_sets, range(4))):
            with pytest.raises((RuntimeError, TypeError, ValueError, OverflowError)) as caught:
                found(*arguments)
            if caught.type is RuntimeError:
                assert "closed" in str(caught.value)
    assert one.closed
    assert repr(one) == f"<{cls.__name__} closed>"
    assert hash(one) == hash(one)
    assert one == one  # noqa: PLR0124
    assert one.__sizeof__() > 0
    assert weakref.ref(one)() is one
    assert one.__exit__(None, None, None) is None
    one.close()
    one.free()


@pytest.mark.parametrize("cls", CLASSES)
def test_the_right_arguments_get_a_runtime_error(base, cls):
    one = closed(cls, base)
    calls = {
        Listener: [("set_cb", print), ("set_error_cb", print), ("on_accept", 5, ANY)],
        Datagram: [("setcb", print), ("send", b"x", ANY), ("connect", ANY), ("set_queue_max", 5)],
    }
    common = [("enable",), ("disable",), ("get_fd",), ("fileno",), ("get_base",), ("__enter__",)]
    for name, *arguments in calls[cls] + common:
        with pytest.raises(RuntimeError, match="closed"):
            getattr(one, name)(*arguments)
    for name in ("fd", "base", "address"):
        with pytest.raises(RuntimeError, match="closed"):
            getattr(one, name)


# --- the constructor ----------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_the_constructor_runs_once(base, cls):
    one = cls(base, ANY)
    fd, address = one.fd, one.address
    with socket.socket(type=socket.SOCK_DGRAM if cls is Datagram else socket.SOCK_STREAM) as sock:
        for given in (ANY, sock, sock.fileno()):
            with pytest.raises(RuntimeError, match="set up already"):
                one.__init__(base, given)
        assert sock.fileno() != -1
    assert (one.fd, one.address) == (fd, address)
    one.close()
    with pytest.raises(RuntimeError, match="set up already"):
        one.__init__(base, ANY)


class Hostile:
    """An argument whose conversion runs code."""

    def __init__(self, act, value):
        self.act = act
        self.value = value

    def convert(self, *args):
        self.act()
        return self.value


class Number(Hostile):
    __index__ = __int__ = Hostile.convert


class AnyPath(Hostile):
    __fspath__ = Hostile.convert


class File(Hostile):
    fileno = Hostile.convert


def kinds_of_arguments(cls, act, sock):
    """Arguments of the constructor that run code."""
    yield (("127.0.0.1", Number(act, 0)),), {}
    yield (AnyPath(act, b"\0pyevent-%d-%d" % (os.getpid(), id(sock))),), {}
    yield (File(act, sock.fileno()),), {}
    if cls is Listener:
        yield (ANY,), {"flags": Number(act, 2)}
        yield (ANY,), {"backlog": Number(act, 5)}
    else:
        yield (ANY, Number(act, 0)), {}


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("deed", ["close the base", "set it up"])
def test_arguments_of_the_constructor_that_run_code(backend, cls, deed):
    kind = socket.SOCK_DGRAM if cls is Datagram else socket.SOCK_STREAM
    for number in range(10):
        with EventBase(backend=backend) as base, socket.socket(type=kind) as sock:
            sock.bind(ANY)
            one = cls.__new__(cls)

            def act(base=base, one=one):
                if deed == "close the base":
                    base.close()
                elif one.closed:
                    one.__init__(base, ANY)

            chosen = list(kinds_of_arguments(cls, act, sock))[number : number + 1]
            if not chosen:
                break
            ((arguments, named),) = chosen
            with pytest.raises(RuntimeError, match="closed|set up already"):
                one.__init__(base, *arguments, **named)
            assert sock.fileno() != -1
            one.close()
    assert number > 2


@pytest.mark.parametrize("cls", CLASSES)
def test_a_socket_that_is_taken_while_it_is_given_up(base, cls):
    """What a subclass of socket makes of its detach() is not called."""

    class Sock(socket.socket):
        def detach(self):
            raise AssertionError

    sock = Sock(type=socket.SOCK_DGRAM if cls is Datagram else socket.SOCK_STREAM)
    sock.bind(ANY)
    one = cls(base, sock)
    assert sock.fileno() == -1
    one.close()


# --- methods ------------------------------------------------------------------------


def methods_with_arguments(cls, act):
    yield "set_error_cb" if cls is Listener else "setcb", (print,)
    if cls is Datagram:
        yield "send", (b"x", ("127.0.0.1", Number(act, 9)))
        yield "send", (b"x", AnyPath(act, "/nowhere"))
        yield "connect", (("127.0.0.1", Number(act, 9)),)
        yield "connect", (AnyPath(act, "/nowhere"),)
        yield "set_queue_max", (Number(act, 5),)
        if sys.version_info >= (3, 12):
            yield "send", (Buffer(act), ANY)


class Buffer:
    def __init__(self, act):
        self.act = act

    def __buffer__(self, flags):
        self.act()
        return memoryview(b"x")

    def __release_buffer__(self, view):
        self.act()


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("whose", ["one", "base"])
def test_arguments_of_methods_that_close(backend, cls, whose):
    for number in range(10):
        with EventBase(backend=backend) as base, cls(base, ANY) as one:
            act = one.close if whose == "one" else base.close
            chosen = list(methods_with_arguments(cls, act))[number : number + 1]
            if not chosen:
                break
            ((name, arguments),) = chosen
            if number == 0:
                getattr(one, name)(*arguments)  # runs no code
            else:
                with pytest.raises(RuntimeError, match="closed"):
                    getattr(one, name)(*arguments)
    assert number > 0


# --- what is replaced or dropped ------------------------------------------------------


class Closing:
    """A callback and an argument; whoever drops the last reference closes something."""

    def __init__(self, act):
        self.act = act

    def __call__(self, *args):
        pass

    def __del__(self):
        self.act()


def set_all(one, make):
    if isinstance(one, Listener):
        one.set_cb(make(), make())
        one.set_error_cb(make())
    else:
        one.setcb(make(), make(), make())


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("whose", ["one", "base"])
@pytest.mark.parametrize("how", ["replaced", "taken away", "closed", "base closed"])
def test_finalizers_of_what_is_replaced_may_close(backend, cls, whose, how):
    with EventBase(backend=backend) as base, cls(base, ANY) as one:
        closings = []

        def act():
            closings.append(None)
            if whose == "one":
                one.close()
            elif not base.closed:
                base.close()

        set_all(one, lambda: Closing(act))
        with contextlib.suppress(RuntimeError):  # what the first of two calls has closed
            if how == "replaced":
                set_all(one, lambda: print)
            elif how == "taken away":
                set_all(one, lambda: None)
            elif how == "closed":
                one.close()
            else:
                base.close()
        one.close()
        gc.collect()
        assert len(closings) == 3


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("subclass", [False, True])
def test_one_without_callbacks_is_dropped_whose_argument_closes_the_base(backend, cls, subclass):
    class Sub(cls):
        def __del__(self):
            pass  # does not call ours

    base = EventBase(backend=backend)
    kind = Sub if subclass else cls
    if cls is Listener:
        only = [kind(base, ANY, None, Closing(base.close))]
    else:
        only = [kind(base, ANY)]
        only[0].setcb(None, None, Closing(base.close))
    with contextlib.nullcontext() if subclass else pytest.warns(ResourceWarning, match="unclosed"):
        only.clear()
    assert base.closed


@pytest.mark.parametrize("cls", CLASSES)
def test_a_chain_of_them_through_their_arguments_is_dropped(base, cls):
    one = None
    for _ in range(200):
        following = cls(base, ANY)
        if cls is Listener:
            following.set_cb(None, one)
        else:
            following.setcb(None, None, one)
        one = following
    only = [one]
    del one, following
    with pytest.warns(ResourceWarning, match="unclosed"):
        only.clear()


def test_a_log_callback_may_close_what_it_is_told_of(run_python, backend):
    run_python(
        """
    import os, resource, socket, sys
    from pyevent import *

    with EventBase(backend=sys.argv[1]) as base:
        listener = Listener(base, ("127.0.0.1", 0), lambda *args: None)
        lines = []

        def log(severity, message):
            lines.append(message)
            if len(lines) == 1:
                os.close(listener.fd)
            else:
                listener.close()

        base.loopexit(0.01)
        base.dispatch()
        far = socket.socket()
        far.setblocking(False)
        far.connect_ex(listener.address)
        fillers, limits = [], resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        try:
            while True:
                fillers.append(os.dup(0))
        except OSError:
            pass
        event_set_log_callback(log)
        base.loopexit(0.2)
        base.dispatch()
        event_set_log_callback(None)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert lines
        for fd in fillers:
            os.close(fd)
        far.close()
    """,
        backend,
    )


# --- callbacks that close ---------------------------------------------------------------


@pytest.mark.parametrize("deed", ["close", "take away", "drop"])
def test_datagram_callbacks_may_end_it(backend, deed):
    told = []
    with EventBase(backend=backend, exception_handler=RAISE) as base:
        base.once(-1, EV_TIMEOUT, lambda *args: pytest.fail("took too long"), None, 30)
        datagram = Datagram(base, ANY)
        box = [datagram]
        address = datagram.address

        def act(*args):
            told.append(args)
            if deed == "close":
                box[0].close()
            elif deed == "take away":
                box[0].setcb()
            else:
                box.clear()
                gc.collect()
            base.loopbreak()

        datagram.setcb(None, act)
        for _ in range(3):
            datagram.send(b"x" * 65_530, address)  # too long, as it finds out
        del datagram
        base.dispatch()
        if deed != "drop":
            assert len(told) == 1
        for one in box:
            one.close()


@pytest.mark.parametrize("cls", CLASSES)
def test_pending_ones_of_a_base_end_with_it(backend, cls):
    before = pyevent.live_allocations()
    base = EventBase(backend=backend)
    ones = [cls(base, ANY) for _ in range(3)]
    for one in ones:
        set_all(one, lambda: print)
    base.close()
    assert all(one.closed for one in ones)
    assert pyevent.live_allocations() == before
