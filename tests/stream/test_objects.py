"""Connections and listeners as Python objects: closed ones, copies, contexts, text."""

import contextvars
import copy
import pickle

import pytest

from pyevent import (
    BEV_EVENT_EOF,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    Buffer,
    BufferEvent,
    Listener,
)

ANY = ("127.0.0.1", 0)

# What a closed connection refuses, with arguments that an open one takes; a class
# stands for an object of it.
CONNECTION = {
    "__enter__": (),
    "setcb": (print,),
    "get_input": (),
    "get_output": (),
    "getfd": (),
    "fileno": (),
    "setfd": (-1,),
    "replacefd": (-1,),
    "write": (b"x",),
    "write_buffer": (Buffer,),
    "read": (1,),
    "read_buffer": (Buffer,),
    "connect": (ANY,),
    "socket_connect": (None,),
    "enable": (EV_READ,),
    "disable": (EV_READ,),
    "get_enabled": (),
    "set_timeouts": (1, 1),
    "setwatermark": (EV_READ, 1, 2),
    "getwatermark": (EV_READ,),
    "flush": (EV_READ,),
    "trigger": (EV_READ,),
    "trigger_event": (BEV_EVENT_EOF,),
    "priority_set": (0,),
    "get_priority": (),
    "set_max_single_read": (1,),
    "set_max_single_write": (1,),
    "get_max_single_read": (),
    "get_max_single_write": (),
}
PROPERTIES = ["input", "output", "fd", "enabled", "priority"]


@pytest.fixture(params=["closed", "with its base", "never set up"])
def closed(request, base, streams):
    if request.param == "never set up":
        return BufferEvent.__new__(BufferEvent)
    bev, _ = streams.pair()
    bev.setcb(print)
    (bev if request.param == "closed" else base).close()
    return bev


def test_closed_connection_refuses_everything(closed):
    for name, args in CONNECTION.items():
        made = [arg() if isinstance(arg, type) else arg for arg in args]
        with pytest.raises(RuntimeError, match="closed"):
            getattr(closed, name)(*made)
    for name in PROPERTIES:
        with pytest.raises(RuntimeError, match="closed"):
            getattr(closed, name)


def test_closed_connection_answers_what_needs_no_connection(closed):
    assert closed.closed
    assert repr(closed) == "<BufferEvent closed>"
    closed.close()
    closed.free()
    closed.__exit__(None, None, None)


def test_buffer_that_is_closed_is_refused(streams):
    bev, _ = streams.pair()
    buffer = Buffer()
    buffer.close()
    for use in (bev.write_buffer, bev.read_buffer):
        with pytest.raises((ValueError, RuntimeError), match="closed"):
            use(buffer)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_there_are_no_copies(streams, base, duplicate):
    bev, _ = streams.pair()
    for one in (bev, Listener(base, ANY)):
        with pytest.raises(TypeError, match="cannot pickle"):
            duplicate(one)


def test_text_shows_descriptor_and_state(streams):
    bev, peer = streams.pair()
    bev.enable(EV_READ)
    peer.send(b"12345")
    streams.run_ready()
    bev.write(b"123")
    assert repr(bev) == f"<BufferEvent fd={bev.fd} input=5 output=3>"

    class Named(BufferEvent):
        pass

    assert repr(Named(streams.base)) == "<Named fd=-1 input=0 output=0>"


def test_callbacks_run_in_the_context_of_dispatch(streams, base):
    who = contextvars.ContextVar("who", default="nobody")
    seen = []
    bev, peer = streams.pair()
    bev.setcb(lambda *args: seen.append(who.get()), None, lambda *args: seen.append(who.get()))
    bev.enable(EV_READ)
    peer.send(b"x")
    peer.close()

    def dispatch():
        who.set("dispatch")
        base.dispatch()

    contextvars.copy_context().run(dispatch)
    assert seen == ["dispatch"] * 2
    assert who.get() == "nobody"


def test_keyword_arguments(streams, base):
    near, _ = streams.sockets()
    bev = BufferEvent(base=base, fd=near, options=BEV_OPT_CLOSE_ON_FREE)
    bev.setcb(readcb=print, writecb=None, eventcb=print, arg=5)
    bev.set_timeouts(read=1, write=2.5)
    bev.setwatermark(events=EV_READ, lowmark=1, highmark=2)
    listener = Listener(base, address=ANY, callback=print, arg=5, flags=2, backlog=5)
    listener.set_cb(callback=print, arg=6)


def test_flags_are_plain_ints_as_well(streams, base):
    near, _ = streams.sockets()
    bev = BufferEvent(base, near.detach(), 1)
    bev.enable(2)
    assert bev.enabled == 6
    Listener(base, ANY, print, flags=2 | 4 | 8)
    with pytest.raises(TypeError):
        bev.enable("2")


@pytest.mark.parametrize("flags", [1 << 40, -1, "2"])
def test_flags_that_are_no_flags_are_refused(base, flags):
    with pytest.raises((OverflowError, TypeError)):
        Listener(base, ANY, print, flags=flags)
