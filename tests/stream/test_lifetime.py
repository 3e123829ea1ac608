"""Who keeps whom alive: a base its connections, nobody what is closed, and no cycle for ever."""

import gc
import socket
import weakref

import pytest

import pyevent
from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    EventBase,
    Listener,
)


class Thing:
    """Something to refer to, and to see dying."""


def new(base, socket_pairs, cls=BufferEvent):
    near, far = socket.socketpair()
    socket_pairs.append(far)
    bev = cls(base, near, BEV_OPT_CLOSE_ON_FREE)
    bev.enable(EV_READ)
    return bev


# Each makes a connection and a cycle; gives what is to die with the base.


def connection_as_its_own_argument(base, peers):
    bev = new(base, peers)
    bev.setcb(print, print, print, bev)
    return [bev]


def callback_that_refers_to_its_connection(base, peers):
    bev = new(base, peers)

    def callback(*args):
        return bev

    bev.setcb(callback, callback, callback)
    return [bev, callback]


def callback_that_refers_to_the_base(base, peers):
    bev = new(base, peers)

    def callback(*args):
        return base

    bev.setcb(callback)
    return [bev, callback]


def argument_that_keeps_the_buffers(base, peers):
    bev = new(base, peers)
    thing = Thing()
    thing.buffers = [bev.input, bev.output]
    bev.setcb(print, arg=thing)
    return [bev, thing, *thing.buffers]


def argument_that_keeps_a_view_of_the_input(base, peers):
    bev = new(base, peers)
    thing = Thing()
    bev.write(b"some bytes")
    thing.views = bev.output.peek()
    bev.setcb(print, arg=thing)
    return [bev, thing]


def subclass_with_itself_in_an_attribute(base, peers):
    class Own(BufferEvent):
        def on_read(self):
            pass

    bev = new(base, peers, Own)
    bev.me = bev
    bev.base_too = base
    return [bev, Own]


def connections_that_refer_to_each_other(base, peers):
    one, other = new(base, peers), new(base, peers)
    one.setcb(print, arg=other)
    other.setcb(print, arg=one)
    return [one, other]


def connection_without_callbacks_that_somebody_keeps(base, peers):
    bev = new(base, peers)
    thing = Thing()
    thing.bev = bev
    thing.me = thing
    return [bev, thing]


def listener_whose_callback_refers_to_it(base, peers):
    def callback(*args):
        return listener, base

    listener = Listener(base, ("127.0.0.1", 0), callback)
    listener.set_error_cb(callback)
    return [listener, callback]


def listener_as_its_own_argument(base, peers):
    listener = Listener(base, ("127.0.0.1", 0), print)
    listener.set_cb(print, listener)
    return [listener]


CYCLES = [
    connection_as_its_own_argument,
    callback_that_refers_to_its_connection,
    callback_that_refers_to_the_base,
    argument_that_keeps_the_buffers,
    argument_that_keeps_a_view_of_the_input,
    subclass_with_itself_in_an_attribute,
    connections_that_refer_to_each_other,
    connection_without_callbacks_that_somebody_keeps,
    listener_whose_callback_refers_to_it,
    listener_as_its_own_argument,
]


@pytest.fixture
def peers():
    opened = []
    yield opened
    for sock in opened:
        sock.close()


@pytest.mark.parametrize("cycle", CYCLES)
def test_cycle_is_collected_with_its_base_and_one_warning(backend, peers, cycle):
    def make():
        base = EventBase(backend=backend)
        return [weakref.ref(one) for one in [base, *cycle(base, peers)]]

    gc.collect()
    refs = make()
    with pytest.warns(ResourceWarning, match="unclosed <EventBase") as warned:
        gc.collect()
    assert len(warned) == 1
    warned.clear()  # it refers to the base, which keeps its weak reference from 3.15 on
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)
    for peer in peers:
        assert len(peer.recv(100)) in (0, 10)


@pytest.mark.parametrize("cycle", CYCLES)
def test_cycle_is_collected_after_its_base_is_closed(base, peers, cycle):
    refs = [weakref.ref(one) for one in cycle(base, peers)]
    base.close()
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


@pytest.mark.parametrize("cycle", CYCLES)
def test_cycle_is_collected_after_its_members_are_closed(base, peers, cycle):
    def make():
        made = cycle(base, peers)
        for one in made:
            if isinstance(one, (BufferEvent, Listener)):
                one.close()
        return [weakref.ref(one) for one in made]

    refs = make()
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


def test_server_keeps_no_reference_to_what_it_accepts(streams, base):
    def accept(listener, fd, address, arg):
        bev = BufferEvent(base, fd, BEV_OPT_CLOSE_ON_FREE)
        bev.setcb(lambda bev, arg: bev.write(bev.read(100).upper()))
        bev.enable(EV_READ)

    address = Listener(base, ("127.0.0.1", 0), accept).address
    gc.collect()
    for word in (b"one", b"two"):
        peer = streams.keep(socket.create_connection(address))
        peer.setblocking(False)
        for _ in range(2):
            peer.send(word)
            assert streams.receive(peer, 3) == word.upper()
            gc.collect()


def test_connection_dies_at_once_when_it_is_closed(streams):
    bev, peer = streams.pair()
    thing = Thing()

    def callback(bev, arg):
        pass

    bev.setcb(callback, arg=thing)
    refs = [weakref.ref(one) for one in (bev, callback, thing)]
    gc.disable()
    try:
        del callback, thing
        assert None not in [ref() for ref in refs]
        bev.close()
        assert [ref() for ref in refs[1:]] == [None, None]
        del bev
        assert refs[0]() is None
    finally:
        gc.enable()


def test_connection_that_closes_itself_dies_after_its_callback(streams):
    peer, gone, seen = None, None, []

    def close(bev, arg):
        bev.close()
        seen.append(gone() is bev)

    def make():
        bev, peer = streams.pair()
        bev.setcb(close)
        bev.enable(EV_READ)
        return weakref.ref(bev), peer

    gone, peer = make()
    assert gone() is not None
    peer.send(b"x")
    streams.until(lambda: seen)
    assert seen == [True]
    assert gone() is None


def test_connection_without_callbacks_is_held_by_nobody(streams):
    bev, peer = streams.pair()
    bev.setcb(print)
    bev.setcb()
    gone = weakref.ref(bev)
    del bev
    assert gone() is None
    assert peer.recv(1) == b""


def test_listener_without_callback_is_held_by_nobody(base):
    listener = Listener(base, ("127.0.0.1", 0), print)
    gone = weakref.ref(listener)
    listener.set_cb(None)
    del listener
    assert gone() is None


def test_disabled_connection_with_callbacks_is_held(streams):
    """What is held does not depend on what it waits for."""
    bev, peer = streams.pair()
    bev.setcb(print)
    bev.disable(EV_READ)
    gone = weakref.ref(bev)
    del bev
    gc.collect()
    gone().close()
    assert gone() is None


def test_buffers_are_the_same_objects_while_somebody_has_them(streams):
    bev, _ = streams.pair()
    held = bev.input
    assert bev.input is held
    assert bev.get_input() is held
    assert bev.output is not held
    gone = weakref.ref(held)
    del held
    assert gone() is None
    assert len(bev.input) == 0


def test_buffer_keeps_its_connection_alive(streams):
    bev, peer = streams.pair()
    output = bev.output
    del bev
    gc.collect()
    output.add(b"still here")
    assert streams.receive(peer, 10) == b"still here"


def test_buffer_of_a_closed_connection_is_closed(streams):
    bev, _ = streams.pair()
    bev.write(b"lost")
    buffers = [bev.input, bev.output]
    bev.close()
    for buffer in buffers:
        assert buffer.closed
        for use in (lambda b: len(b), lambda b: b.add(b"x"), lambda b: b.remove(1)):
            with pytest.raises((RuntimeError, ValueError), match="closed"):
                use(buffer)
    for name in ("input", "output"):
        with pytest.raises(RuntimeError, match="closed"):
            getattr(bev, name)


def test_weak_reference_callback_may_use_the_base(streams, base):
    """It runs in the middle of the connection's deallocation."""
    seen = []
    bev, peer = streams.pair()
    bev.enable(EV_READ)
    ref = weakref.ref(bev, lambda ref: seen.append(base.get_num_events(4)))
    del bev
    assert ref() is None
    assert len(seen) == 1


def test_finalizer_of_the_argument_may_close_the_base(backend):
    base = EventBase(backend=backend)
    near, far = socket.socketpair()
    closed = []

    class Closing:
        def __del__(self):
            base.close()
            closed.append(base.closed)

    bev = BufferEvent(base, near, BEV_OPT_CLOSE_ON_FREE)
    bev.setcb(print, arg=Closing())
    bev.enable(EV_READ)
    bev.close()
    assert closed == [True]
    far.close()


def test_five_rounds_leave_allocations_as_they_were(streams, base):
    def serve(listener, fd, address, arg):
        bev = BufferEvent(base, fd, BEV_OPT_CLOSE_ON_FREE)
        bev.setcb(lambda bev, arg: bev.write(bev.read(1 << 16)))
        bev.set_timeouts(60)
        bev.enable(EV_READ)

    address = Listener(base, ("127.0.0.1", 0), serve, backlog=100).address

    def talk():
        clients = [socket.create_connection(address) for _ in range(50)]
        for i, client in enumerate(clients):
            client.setblocking(False)
            client.send(b"x" * 100 * (i + 1))
        for i, client in enumerate(clients):
            assert len(streams.receive(client, 100 * (i + 1))) == 100 * (i + 1)
            client.close()
        streams.run_ready()
        return pyevent.live_allocations()

    talk()
    first = talk()
    assert [talk() for _ in range(5)] == [first] * 5


def test_unclosed_base_with_a_thousand_connections(backend, run_python):
    """All of them go with it, in one warning, which -W error turns into a line of stderr."""
    code = """
    import gc, os, resource, socket, sys, warnings
    import pyevent
    from pyevent import *

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    base = EventBase(backend=sys.argv[1])
    base.close()
    before = (sorted(os.listdir("/dev/fd")), pyevent.live_allocations())

    def readable(bev, arg):
        bev.write(bev.read(10))

    def serve():
        base = EventBase(backend=sys.argv[1])
        n = 400 if base.method == "select" else 1000
        far = []
        for i in range(n):
            near, peer = socket.socketpair()
            bev = BufferEvent(base, near, BEV_OPT_CLOSE_ON_FREE)
            bev.setcb(lambda bev, arg, base=base: readable(bev, arg), None, None, bev)
            bev.enable(EV_READ)
            peer.send(b"x")
            far.append(peer)
        base.loop(EVLOOP_NONBLOCK)
        assert all(peer.recv(10) == b"x" for peer in far)
        for peer in far:
            peer.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
        serve()
        gc.collect()
    assert (sorted(os.listdir("/dev/fd")), pyevent.live_allocations()) == before
    assert [w.category for w in caught] == [ResourceWarning], caught
    print(caught[0].message)
    """
    assert run_python(code, backend).startswith(f"unclosed <EventBase {backend} ")
