"""Every public function of a connection, called from every kind of callback.

Nothing may crash, hang or leak, whatever the function does to the connection whose
callback runs, or to another one that is ready in the same turn. It may refuse.
"""

import contextlib
import socket
import weakref

import pytest

import pyevent
from pyevent import (
    BEV_EVENT_CONNECTED,
    BEV_EVENT_ERROR,
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    Buffer,
    BufferEvent,
    Event,
    EventBase,
    Listener,
)

from .deeds import ALL, BUFFER, CONNECTION, LISTENER, deeds

REFUSALS = (OSError, RuntimeError, ValueError, BufferError)


class Scene:
    """Two connections that are ready at once; what happens to them is up to the tests."""

    def __init__(self, base, options=0):
        self.base = base
        self.sockets = []
        self.pairs = [self.pair(options), self.pair()]
        self.bev, self.other = (bev for bev, _ in self.pairs)
        self.peer, self.other_peer = (peer for _, peer in self.pairs)
        self.buffer = Buffer(b"some text\nand more")
        self.listener = Listener(base, ("127.0.0.1", 0), self.accept)
        self.other.setcb(lambda bev, arg: bev.write(bev.read(100)), None, lambda *args: None)
        self.other.enable(EV_READ)
        self.other_peer.send(b"for the other")

    def socket(self):
        near, far = socket.socketpair()
        far.setblocking(False)
        self.sockets.append(far)
        return near, far

    def pair(self, options=0):
        near, far = self.socket()
        return BufferEvent(self.base, near, BEV_OPT_CLOSE_ON_FREE | options), far

    def fd(self):
        near, _ = self.socket()
        return near

    def accept(self, listener, fd, address, arg):
        socket.socket(fileno=fd).close()

    def close(self):
        for one in (self.bev, self.other, self.listener, self.buffer):
            one.close()
        for sock in self.sockets:
            sock.close()


# --- every kind of callback: each is told what to call once ---------------------------------


def in_read(scene, deed):
    scene.bev.setcb(deed, None, lambda *args: None)
    scene.bev.enable(EV_READ)
    scene.peer.send(b"line one\nline two\n")


def in_write(scene, deed):
    scene.bev.setcb(None, deed, lambda *args: None)
    scene.bev.enable(EV_READ)
    scene.bev.write(b"x")


def in_write_callback_of_enable(scene, deed):
    scene.bev.setcb(None, deed)
    scene.bev.enable(EV_WRITE)


def in_end_of_file(scene, deed):
    scene.bev.setcb(None, None, deed)
    scene.bev.enable(EV_READ)
    scene.peer.send(b"last\n")
    scene.peer.shutdown(socket.SHUT_WR)


def in_error(scene, deed):
    scene.bev.setcb(None, None, deed)
    scene.peer.close()
    scene.bev.write(b"nobody gets this")


def in_timeout(scene, deed):
    scene.bev.setcb(None, None, deed)
    scene.bev.set_timeouts(0.001)
    scene.bev.enable(EV_READ)


def in_connected(scene, deed):
    scene.bev.replacefd(-1)
    scene.bev.setcb(None, None, deed)
    scene.bev.write(b"early")
    scene.bev.connect(scene.listener.address)


def in_refused(scene, deed):
    scene.bev.replacefd(-1)
    scene.bev.setcb(None, None, deed)
    scene.bev.connect("/there/is/nobody")


def in_trigger(scene, deed):
    scene.bev.setcb(deed, deed, deed)
    scene.base.once(-1, EV_TIMEOUT, lambda *args: scene.bev.trigger(ALL))


def in_triggered_event(scene, deed):
    scene.bev.setcb(deed, deed, deed)
    scene.base.once(
        -1, EV_TIMEOUT, lambda *args: scene.bev.trigger_event(BEV_EVENT_ERROR | BEV_EVENT_CONNECTED)
    )


def in_timer(scene, deed):
    scene.bev.setcb(lambda *args: None)
    scene.bev.enable(EV_READ)
    scene.bev.write(b"output that waits")
    scene.base.once(-1, EV_TIMEOUT, deed)


def in_event_on_the_same_descriptor(scene, deed):
    scene.bev.enable(EV_READ)
    scene.peer.send(b"for both")
    scene.base.once(scene.bev.fd, EV_READ, deed)


def in_accept(scene, deed):
    scene.listener.set_cb(lambda lev, fd, *args: (socket.socket(fileno=fd).close(), deed()))
    scene.bev.enable(EV_READ)
    client = socket.create_connection(scene.listener.address)
    scene.sockets.append(client)


def in_listener_error(scene, deed):
    scene.listener.close()
    deaf = socket.socket()  # which does not listen: accept fails
    deaf.bind(("127.0.0.1", 0))
    scene.listener = Listener(scene.base, deaf, print, backlog=0)
    scene.listener.set_error_cb(deed)


def in_exception_handler(scene, deed):
    def fail(*args):
        raise ZeroDivisionError

    scene.base.exception_handler = deed
    scene.bev.setcb(fail)
    scene.bev.enable(EV_READ)
    scene.peer.send(b"x")


def in_prepare_watcher(scene, deed):
    pyevent.PrepareWatcher(scene.base, deed)


def in_check_watcher(scene, deed):
    pyevent.CheckWatcher(scene.base, deed)


def in_finalizer_of_the_argument(scene, deed):
    class Thing:
        def __del__(self):
            deed()

    scene.bev.setcb(lambda bev, arg: bev.setcb(), arg=Thing())
    scene.bev.enable(EV_READ)
    scene.peer.send(b"x")


def in_finalizer_of_lent_output(scene, deed):
    class Lent(bytearray):
        def __del__(self):
            deed()

    scene.bev.setcb(None, lambda *args: None, lambda *args: None)
    scene.bev.output.add_reference(Lent(b"goes when it is written"))
    scene.bev.write(b"and more")


def in_callback_of_the_input(scene, deed):
    scene.bev.input.add_cb(deed)
    in_read(scene, lambda bev, arg: bev.read(5))


def in_callback_of_the_output(scene, deed):
    scene.bev.output.add_cb(deed)
    in_read(scene, lambda bev, arg: bev.write(bev.read(5)))


def in_output_high(scene, deed):
    scene.bev.set_output_high(3, deed)
    in_read(scene, lambda bev, arg: bev.write(bev.read(10)))


def in_filter_of_input(scene, deed):
    def pass_on(source, target, limit, mode, arg):
        deed()
        target.add_buffer(source)
        return pyevent.BEV_OK

    scene.under, scene.bev = scene.bev, scene.bev.filter(pass_on, None, BEV_OPT_CLOSE_ON_FREE)
    in_read(scene, lambda bev, arg: bev.write(bev.read(5)))


def in_filter_of_output(scene, deed):
    def pass_on(source, target, limit, mode, arg):
        deed()
        target.add_buffer(source)
        return pyevent.BEV_OK

    scene.under, scene.bev = scene.bev, scene.bev.filter(None, pass_on, BEV_OPT_CLOSE_ON_FREE)
    in_read(scene, lambda bev, arg: bev.write(bev.read(5)))


def in_weak_reference_callback(scene, deed):
    bev, _ = scene.pair()
    bev.enable(EV_READ)
    scene.weak = weakref.ref(bev, deed)
    scene.base.once(-1, EV_TIMEOUT, lambda fd, what, held: held.clear(), [bev])


KINDS = [value for name, value in list(globals().items()) if name.startswith("in_")]


@pytest.fixture
def lenient(backend):
    """A base that only notes exceptions."""
    with EventBase(backend=backend, exception_handler=lambda base, context: None) as base:
        yield base


@pytest.mark.parametrize("options", [0, BEV_OPT_DEFER_CALLBACKS], ids=["now", "deferred"])
@pytest.mark.parametrize("kind", KINDS)
def test_anything_may_be_done_in_any_callback(lenient, kind, options):
    names = []
    for name, do in deeds():
        scene = Scene(lenient, options)
        done = []

        def deed(*args, scene=scene, do=do, done=done):
            if not done:  # once: some deeds call back
                done.append(True)
                with contextlib.suppress(*REFUSALS):
                    do(scene)

        kind(scene, deed)
        with Event(lenient, -1, EV_PERSIST, lambda *args: None) as ticks:
            ticks.add(0.001)
            for _ in range(1000):
                lenient.loop(pyevent.EVLOOP_ONCE)
                if done:
                    break
        lenient.loop(EVLOOP_NONBLOCK)
        if not done:
            names.append(name)
        lenient.exception_handler = lambda base, context: None
        scene.close()
    assert names == []


@pytest.mark.parametrize(
    ("cls", "table"), [(BufferEvent, CONNECTION), (Listener, LISTENER), (Buffer, BUFFER)]
)
def test_no_public_function_is_forgotten(cls, table):
    public = {name for name in dir(cls) if not name.startswith(("_", "on_"))}
    assert public - {name.split()[0] for name in table} == set()
