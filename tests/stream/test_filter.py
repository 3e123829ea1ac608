"""Connections whose bytes go through functions and another connection."""

import gc
import logging
import socket
import weakref
import zlib

import pytest

import pyevent
from pyevent import (
    BEV_ERROR,
    BEV_EVENT_EOF,
    BEV_EVENT_ERROR,
    BEV_EVENT_READING,
    BEV_EVENT_WRITING,
    BEV_FINISHED,
    BEV_FLUSH,
    BEV_NEED_MORE,
    BEV_NORMAL,
    BEV_OK,
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    EV_READ,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    Buffer,
    BufferEvent,
    EventBase,
    Filter,
    FlushMode,
)


def upper(src, dst, limit, mode, arg):
    data = src.remove(None if limit < 0 else limit)
    dst.add(data.upper())
    return BEV_OK if data else BEV_NEED_MORE


def refuse(src, dst, limit, mode, arg):
    return BEV_ERROR


@pytest.fixture
def stack(streams):
    """filter(...) -> (a filter over a socket, the connection below, the peer's socket)."""

    def stack(input_filter=upper, output_filter=upper, options=BEV_OPT_CLOSE_ON_FREE, arg=None):
        under, peer = streams.pair()
        over = under.filter(input_filter, output_filter, options, arg)
        return streams.keep(over), under, peer

    return stack


def test_bytes_go_through_the_functions(streams, stack):
    over, _, peer = stack()
    seen = []
    over.setcb(lambda bev, arg: seen.append((bev, bev.read(100), arg)), arg=5)
    over.enable(EV_READ)
    peer.send(b"hello")
    streams.until(lambda: seen)
    assert seen == [(over, b"HELLO", 5)]
    over.write(b"there")
    assert streams.receive(peer, 5) == b"THERE"


def test_functions_get_buffers_limit_mode_and_arg(streams):
    calls = []

    def note(src, dst, limit, mode, arg):
        calls.append((type(src), type(dst), limit, mode, type(mode), arg, src is under.input))
        return upper(src, dst, limit, mode, arg)

    under, peer = streams.pair()
    over = streams.keep(under.filter(note, note, BEV_OPT_CLOSE_ON_FREE, "arg"))
    assert over.get_filters() == (note, note, "arg")
    held = under.input
    over.setwatermark(EV_READ, 0, 4)
    over.enable(EV_READ)
    peer.send(b"abcdef")
    streams.until(lambda: len(over.input) == 4)
    assert calls == [(Buffer, Buffer, 4, BEV_NORMAL, FlushMode, "arg", True)]
    del calls[:]
    over.write(b"x")
    assert calls == [(Buffer, Buffer, -1, BEV_NORMAL, FlushMode, "arg", False)]
    del calls[:]
    over.flush(EV_WRITE, BEV_FINISHED)
    assert [call[2:4] for call in calls] == [(-1, BEV_FINISHED)]
    assert len(held) == 2


def test_without_functions_bytes_pass_as_they_are(streams, stack):
    over, under, peer = stack(None, None)
    over.enable(EV_READ)
    peer.send(b"in")
    streams.until(lambda: len(over.input) == 2)
    over.write(b"out")
    assert streams.receive(peer, 3) == b"out"
    assert over.fd == under.fd
    assert over.get_underlying() is under
    assert over.peername == under.peername


def test_function_may_need_more(streams, stack):
    def lines(src, dst, limit, mode, arg):
        line = src.readln()
        if line is None:
            return BEV_NEED_MORE
        dst.add(b"<" + line + b">")
        return BEV_OK

    over, _, peer = stack(lines, None)
    over.enable(EV_READ)
    peer.send(b"one\ntwo\nthr")
    streams.until(lambda: len(over.input) == 10)
    peer.send(b"ee\n")
    streams.until(lambda: len(over.input) == 17)
    assert over.read(100) == b"<one><two><three>"


@pytest.mark.parametrize("direction", [BEV_EVENT_READING, BEV_EVENT_WRITING])
def test_error_of_a_function_is_told(streams, stack, direction):
    over, _, peer = stack(refuse, refuse)
    seen = []
    over.setcb(eventcb=lambda bev, what, arg: seen.append((what, bev.enabled, bev.error.errno)))
    over.enable(EV_READ)
    if direction == BEV_EVENT_READING:
        peer.send(b"x")
    else:
        over.write(b"x")
    streams.until(lambda: seen)
    (what, enabled, number) = seen[0]
    assert what == direction | BEV_EVENT_ERROR
    assert enabled == (EV_WRITE if direction == BEV_EVENT_READING else EV_READ)
    assert number == 71  # EPROTO


@pytest.mark.parametrize(
    "function",
    [lambda *args: 1 / 0, lambda *args: None, lambda *args: 3, lambda *args: "BEV_OK"],
    ids=["raises", "None", "3", "text"],
)
def test_failure_in_a_function_goes_to_the_handler_and_is_an_error(backend, function):
    contexts, seen = [], []
    near, far = socket.socketpair()
    with (
        far,
        EventBase(backend=backend, exception_handler=lambda b, c: contexts.append(c)) as base,
        BufferEvent(base, near, BEV_OPT_CLOSE_ON_FREE) as under,
        under.filter(function, None) as over,
    ):
        over.setcb(eventcb=lambda bev, what, arg: seen.append(what))
        over.enable(EV_READ)
        far.send(b"x")
        while not seen:
            base.loop(pyevent.EVLOOP_ONCE)
        assert seen == [BEV_EVENT_READING | BEV_EVENT_ERROR]
        (context,) = contexts
        assert context["source"] is over
        assert context["callback"] is function
        assert isinstance(context["exception"], (ZeroDivisionError, TypeError))
        assert context["message"] == "exception in filter"
        del context, contexts[:]


def test_default_handler_logs_and_leaves_the_end_to_the_event_callback(caplog):
    near, far = socket.socketpair()
    seen = []
    with far, EventBase() as base, BufferEvent(base, near, BEV_OPT_CLOSE_ON_FREE) as under:
        over = under.filter(None, lambda *args: 1 / 0)
        over.setcb(eventcb=lambda bev, what, arg: seen.append((what, bev.closed)))
        with caplog.at_level(logging.ERROR, "pyevent"):
            over.write(b"x")
            base.loop(EVLOOP_NONBLOCK)
        assert seen == [(BEV_EVENT_WRITING | BEV_EVENT_ERROR, False)]
        assert "ZeroDivisionError" in caplog.text
        caplog.clear()
        over.close()


def test_dispatch_raises_what_a_function_raises(streams, stack):
    def interrupt(*args):
        raise KeyboardInterrupt

    over, _, peer = stack(interrupt, None)
    over.enable(EV_READ)
    peer.send(b"x")
    with pytest.raises(KeyboardInterrupt):
        streams.base.dispatch()


def test_end_of_file_comes_after_the_data(streams, stack):
    over, _, peer = stack()
    seen = []
    over.setcb(
        lambda bev, arg: seen.append(bev.read(2)), None, lambda bev, what, arg: seen.append(what)
    )
    over.setwatermark(EV_READ, 0, 2)
    over.enable(EV_READ)
    peer.send(b"abcdef")
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: len(seen) == 4)
    assert seen == [b"AB", b"CD", b"EF", BEV_EVENT_READING | BEV_EVENT_EOF]


def test_flush_says_whether_something_was_passed_on(streams, stack):
    over, _, peer = stack()
    over.disable(EV_WRITE)
    over.write(b"abc")
    assert over.flush(EV_WRITE, BEV_NORMAL) == 0
    assert len(over.output) == 3
    assert over.flush(EV_WRITE, BEV_FLUSH) == 1
    assert streams.receive(peer, 3) == b"ABC"


# --- closing ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 3_000_000])
def test_closing_delivers_what_was_written(streams, stack, size):
    over, under, peer = stack()
    over.write(b"x" * size)
    over.close()
    assert over.closed
    assert not under.closed
    assert streams.receive(peer, size + 1) == b"X" * size  # and the end
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: under.closed)


def test_closing_in_the_callback_that_wrote_delivers(streams, stack):
    def answer(bev, arg):
        bev.write(bev.read(100) + b"!")
        bev.close()

    over, _, peer = stack()
    over.setcb(answer)
    over.enable(EV_READ)
    peer.send(b"hello")
    assert streams.receive(peer, 7) == b"HELLO!"


def test_dropping_a_filter_delivers_too(streams):
    """Nobody has it, nor the connection below."""
    under, peer = streams.pair()
    under.filter(None, upper, BEV_OPT_CLOSE_ON_FREE).write(b"x" * 1_000_000)
    weak = weakref.ref(under)
    del under
    assert streams.receive(peer, 1_000_001) == b"X" * 1_000_000
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: weak() is None)


def test_closing_with_nothing_to_write_closes_at_once(stack):
    over, under, peer = stack()
    over.close()
    assert under.closed
    assert peer.recv(1) == b""


def test_without_the_option_the_connection_below_stays(streams, stack):
    over, under, peer = stack(options=0)
    over.write(b"through")
    over.close()
    assert not under.closed
    under.setcb(lambda bev, arg: bev.write(bev.read(10)))
    peer.send(b"again")
    assert streams.receive(peer, 12) == b"THROUGHagain"
    under.close()


def test_object_that_owns_the_descriptor_lives_until_the_last_byte(streams):
    class Owner:
        def __init__(self, sock):
            self.sock = sock
            self.fileno = sock.fileno

        def __del__(self):
            self.sock.close()

    near, peer = streams.sockets()
    under = BufferEvent(streams.base, owner := Owner(near), options=0)
    over = under.filter(None, upper, BEV_OPT_CLOSE_ON_FREE)
    over.write(b"x" * 1_000_000)
    over.close()
    weak = weakref.ref(owner)
    del near, owner, under, over
    gc.collect()
    assert weak() is not None
    assert streams.receive(peer, 1_000_001) == b"X" * 1_000_000
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: weak() is None)


def test_stack_of_filters_is_closed_from_the_top(streams, stack):
    middle, under, peer = stack()
    top = middle.filter(
        None, lambda src, dst, *args: (dst.add_buffer(src), BEV_OK)[1], BEV_OPT_CLOSE_ON_FREE
    )
    assert top.get_underlying() is middle
    assert top.fd == under.fd
    top.write(b"x" * 2_000_000)
    top.close()
    assert streams.receive(peer, 2_000_001) == b"X" * 2_000_000
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: middle.closed and under.closed)


def test_base_that_is_closed_closes_all_of_them(backend):
    near, far = socket.socketpair()
    with far, EventBase(backend=backend) as base:
        under = BufferEvent(base, near, BEV_OPT_CLOSE_ON_FREE)
        over = under.filter(upper, upper, BEV_OPT_CLOSE_ON_FREE)
        over.setcb(print, print, print)
        over.write(b"x" * 5_000_000)
        base.close()
        assert over.closed
        assert under.closed
        with pytest.raises(RuntimeError):
            over.write(b"x")
        with pytest.raises(RuntimeError):
            under.filter()


def test_connection_below_may_be_closed_first(streams, stack):
    over, under, _ = stack()
    under.close()
    over.write(b"into nothing")
    over.flush(EV_READ | EV_WRITE, BEV_FINISHED)
    streams.run_ready()
    over.enable(EV_READ)
    over.close()


# --- who keeps whom alive --------------------------------------------------------------


def test_filter_keeps_the_connection_below_alive(streams):
    under, peer = streams.pair()
    over = streams.keep(under.filter(upper, upper, BEV_OPT_CLOSE_ON_FREE))
    weak = weakref.ref(under)
    del under
    gc.collect()
    over.write(b"still there")
    assert streams.receive(peer, 11) == b"STILL THERE"
    over.close()
    del over
    streams.close()
    streams.opened.clear()
    gc.collect()
    assert weak() is None


def test_base_holds_a_filter_with_callbacks_only(streams):
    def make(*callbacks):
        over = streams.pair()[0].filter(upper, upper, BEV_OPT_CLOSE_ON_FREE)
        over.setcb(*callbacks)
        return weakref.ref(over)

    assert make()() is None
    held = make(print)
    gc.collect()
    assert held() is not None
    held().close()
    gc.collect()
    assert held() is None


def test_functions_that_refer_to_their_filter_are_collected(streams):
    class Codec:
        def run(self, src, dst, limit, mode, arg):
            return upper(src, dst, limit, mode, arg)

    codec = Codec()
    under, _ = streams.pair()
    codec.over = under.filter(codec.run, codec.run, BEV_OPT_CLOSE_ON_FREE, codec)
    weak = weakref.ref(codec)
    del codec, under
    gc.collect()
    assert weak() is None


def test_closed_filter_lets_its_functions_go(stack):
    class Function:
        def __call__(self, *args):
            return BEV_NEED_MORE

    function = Function()
    over, _, _ = stack(function, function, arg=function)
    weak = weakref.ref(function)
    del function
    assert weak() is not None
    over.close()
    assert weak() is None


def test_filter_may_be_closed_and_dropped_in_its_function(streams):
    def drop(src, dst, limit, mode, arg):
        arg.pop().close()
        return BEV_OK

    for trigger in ("read", "write"):
        under, peer = streams.pair()
        last = []
        over = under.filter(drop, drop, BEV_OPT_CLOSE_ON_FREE, last)
        last.append(over)
        if trigger == "write":
            over.write(b"x")
        else:
            over.enable(EV_READ)
            del over
            peer.send(b"x")
        streams.until(lambda last=last: not last)
        del under


# --- the rest ------------------------------------------------------------------------------


def test_callbacks_of_the_connection_below_are_the_filters(streams):
    under, _ = streams.pair()
    under.setcb(print, print, print, "arg")
    over = streams.keep(under.filter())
    assert under.getcb() == (None, None, None, None)
    with pytest.raises(RuntimeError, match="a filter has its callbacks"):
        under.setcb(print)
    with pytest.raises(RuntimeError, match="has a filter already"):
        under.filter()
    over.close()
    under.setcb(print)
    streams.keep(under.filter()).close()
    under.close()


def test_wrong_arguments_change_nothing(streams):
    under, peer = streams.pair()
    seen = []
    under.setcb(lambda bev, arg: seen.append(bev.read(10)))
    under.enable(EV_READ)
    with pytest.raises(TypeError, match="input_filter must be callable or None, not 5"):
        under.filter(5)
    with pytest.raises(TypeError, match="output_filter must be callable or None, not 5"):
        under.filter(None, 5)
    with pytest.raises(TypeError):
        Filter(None)
    peer.send(b"as before")
    streams.until(lambda: seen)
    assert seen == [b"as before"]
    under.close()
    with pytest.raises(RuntimeError, match="closed"):
        under.filter()


def test_subclass_of_filter_has_methods(streams):
    class Shout(Filter):
        def __init__(self, under):
            super().__init__(under, None, upper, BEV_OPT_CLOSE_ON_FREE)
            self.ends = []

        def on_read(self):
            self.write(self.read(100))

        def on_event(self, what):
            self.ends.append(what)
            self.close()

    under, peer = streams.pair()
    shout = streams.keep(Shout(under))
    shout.enable(EV_READ)
    peer.send(b"hello")
    assert streams.receive(peer, 5) == b"HELLO"
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: shout.closed)
    assert shout.ends == [BEV_EVENT_READING | BEV_EVENT_EOF]
    assert under.closed


def test_filter_without_event_callback_closes_itself(streams, stack):
    over, under, peer = stack()
    over.setcb(lambda bev, arg: bev.write(bev.read(100)))
    over.enable(EV_READ)
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    assert streams.receive(peer, 2) == b"X"
    streams.until(lambda: over.closed and under.closed)


def test_deferred_filter_calls_back_from_the_loop(streams):
    a, b = BufferEvent.pair(streams.base)
    streams.keep(b)
    over = streams.keep(a.filter(upper, upper, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS))
    seen = []
    over.setcb(lambda bev, arg: seen.append(bev.read(10)))
    over.enable(EV_READ)
    b.write(b"x")
    over.flush(EV_READ, BEV_FLUSH)
    assert seen == []
    streams.run_ready()
    assert seen == [b"X"]


def test_new_descriptor_is_for_the_connection_below(streams, stack):
    over, under, _ = stack()
    near, peer = streams.sockets()
    over.replacefd(near)
    assert over.fd == under.fd >= 0
    over.write(b"elsewhere")
    assert streams.receive(peer, 9) == b"ELSEWHERE"


def test_buffers_that_a_function_kept_are_closed_with_the_connection(streams, stack):
    kept = []

    def keep(src, dst, limit, mode, arg):
        kept.extend([src, dst])
        return upper(src, dst, limit, mode, arg)

    over, under, _ = stack(None, keep)
    over.write(b"x")
    streams.run_ready()
    over.close()
    assert kept[0].closed
    del kept[1]
    under.close()


# --- zlib, in both directions -----------------------------------------------------------------


class Deflate:
    """A filter's two functions: zlib streams, each write readable at once."""

    def __init__(self):
        self.packer = zlib.compressobj()
        self.unpacker = zlib.decompressobj()

    def pack(self, src, dst, limit, mode, arg):
        data = self.packer.compress(src.remove())
        if mode == BEV_FINISHED:
            data += self.packer.flush(zlib.Z_FINISH)
        else:
            data += self.packer.flush(zlib.Z_SYNC_FLUSH)
        dst.add(data)
        return BEV_OK

    def unpack(self, src, dst, limit, mode, arg):
        try:
            data = self.unpacker.decompress(src.remove())
        except zlib.error:
            return BEV_ERROR
        dst.add(data)
        if mode == BEV_FINISHED and not self.unpacker.eof:
            return BEV_ERROR
        return BEV_OK if data else BEV_NEED_MORE

    def over(self, under):
        return under.filter(self.unpack, self.pack, BEV_OPT_CLOSE_ON_FREE)


def test_zlib_both_ways(streams):
    near, far = streams.sockets("tcp")
    a = Deflate().over(BufferEvent(streams.base, near, BEV_OPT_CLOSE_ON_FREE))
    b = Deflate().over(BufferEvent(streams.base, far.dup(), BEV_OPT_CLOSE_ON_FREE))
    text = b"".join(b"line %d\n" % i for i in range(100_000))
    got = {a: bytearray(), b: bytearray()}
    ended = []
    for end in (a, b):
        streams.keep(end)
        end.setcb(
            lambda bev, arg: got[bev].extend(bev.read(1 << 20)),
            None,
            lambda bev, what, arg: ended.append((bev, what)),
        )
        end.enable(EV_READ)
        for start in range(0, len(text), 70_000):
            end.write(text[start : start + 70_000])
    streams.until(lambda: all(len(data) == len(text) for data in got.values()))
    assert got[a] == got[b] == text
    a.flush(EV_WRITE, BEV_FINISHED)
    a.shutdown_write()
    streams.until(lambda: ended)
    assert ended == [(b, BEV_EVENT_READING | BEV_EVENT_EOF)]


def test_zlib_stream_that_is_cut_off_is_an_error(streams):
    under, peer = streams.pair()
    over = streams.keep(Deflate().over(under))
    seen = []
    over.setcb(
        lambda bev, arg: seen.append(bev.read(100)), None, lambda bev, what, arg: seen.append(what)
    )
    over.enable(EV_READ)
    packer = zlib.compressobj()
    peer.send(packer.compress(b"some text") + packer.flush(zlib.Z_SYNC_FLUSH))
    peer.shutdown(socket.SHUT_WR)
    streams.until(lambda: len(seen) == 2)
    assert seen == [b"some text", BEV_EVENT_READING | BEV_EVENT_ERROR]


def test_flat_names_are_the_methods(streams):
    under, peer = streams.pair()
    over = pyevent.bufferevent_filter_new(under, upper, upper, BEV_OPT_CLOSE_ON_FREE, None)
    assert type(over) is Filter
    assert pyevent.bufferevent_get_underlying(over) is under
    pyevent.bufferevent_write(over, b"x")
    assert streams.receive(peer, 1) == b"X"
    pyevent.bufferevent_free(over)
    assert over.closed
    assert under.closed
