"""Callbacks of a buffer: what they are told, who keeps them, where their exceptions go."""

import gc
import sys
import weakref

import pytest

from pyevent import (
    EV_WRITE,
    EVBUFFER_CB_ENABLED,
    EVLOOP_NONBLOCK,
    RAISE,
    Buffer,
    BufferCallback,
    BufferChange,
    BufferEvent,
    EventBase,
)


@pytest.fixture
def base():
    with EventBase() as one:
        yield one


@pytest.fixture
def unraisable(monkeypatch):
    """The types of exceptions that went to sys.unraisablehook."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: found.append(args.exc_type))
    return found


class Told(list):
    """A callback that notes what it is told."""

    def __call__(self, buffer, change, arg):
        self.append((*change, arg))


def test_each_call_tells_once_what_it_changed():
    buf, told = Buffer(b"abc"), Told()
    buf.add_cb(told, "arg")
    buf.add(b"de\n")
    buf.readln()
    buf.writelines([b"1", b"22", b"333"])
    buf.prepend(b"x")
    buf.drain(2)
    buf.drain(0)
    buf.add(b"")
    assert told == [(3, 3, 0, "arg"), (6, 0, 6, "arg"), (0, 6, 0, "arg"), (6, 1, 0, "arg"),
                    (7, 0, 2, "arg")]  # fmt: skip


def test_a_callback_gets_its_buffer_and_a_named_tuple():
    found = []
    buf = Buffer()
    buf.add_cb(lambda *args: found.extend(args))
    buf.add(b"abc")
    assert found[0] is buf
    assert found[1] == BufferChange(orig_size=0, n_added=3, n_deleted=0)
    assert found[2] is None


def test_the_newest_is_called_first():
    buf, order = Buffer(), []
    for name in "abc":
        buf.add_cb(lambda buf, change, arg: order.append(arg), name)
    buf.add(b"x")
    assert order == ["c", "b", "a"]


def test_a_removed_callback_is_called_no_more():
    buf, told = Buffer(), Told()
    entries = [buf.add_cb(told, i) for i in range(4)]
    entries[0].remove()
    entries[0].remove()
    buf.remove_cb_entry(entries[1])
    buf.remove_cb(told, 2)
    buf.add(b"x")
    assert [arg for *_, arg in told] == [3]
    assert [entry.removed for entry in entries] == [True, True, True, False]
    assert "removed" in repr(entries[0])


def test_what_is_not_there_cannot_be_removed():
    buf, other = Buffer(), Buffer()
    entry = buf.add_cb(print)
    for call in (
        lambda: buf.remove_cb(len),
        lambda: buf.remove_cb(print, 5),
        lambda: other.remove_cb(print),
        lambda: other.remove_cb_entry(entry),
        lambda: other.cb_set_flags(entry, 1),
    ):
        with pytest.raises(ValueError, match="callback"):
            call()
    entry.remove()
    for call in (
        lambda: buf.remove_cb_entry(entry),
        lambda: buf.remove_cb(print),
        lambda: buf.cb_clear_flags(entry, 1),
    ):
        with pytest.raises(ValueError, match="callback"):
            call()
    with pytest.raises(TypeError):
        buf.add_cb(None)
    with pytest.raises(TypeError):
        buf.remove_cb_entry(print)


def test_a_bound_method_is_found_again():
    buf, told = Buffer(), []
    buf.add_cb(told.append)

    class Mine:
        def changed(self, buf, change, arg):
            told.append(change)

    mine = Mine()
    buf.add_cb(mine.changed)
    buf.remove_cb(told.append)
    buf.remove_cb(mine.changed)
    buf.add(b"x")
    assert told == []


def test_a_disabled_callback_keeps_its_place_and_is_told_nothing():
    buf, told = Buffer(), Told()
    entry = buf.add_cb(told)
    entry.enabled = False
    buf.add(b"abc")
    assert not entry.enabled
    buf.cb_set_flags(entry, EVBUFFER_CB_ENABLED)
    buf.add(b"d")
    buf.cb_clear_flags(entry, EVBUFFER_CB_ENABLED)
    buf.add(b"e")
    assert told == [(3, 1, 0, None)]
    entry.remove()
    with pytest.raises(ValueError, match="not called"):
        entry.enabled = True


def test_what_came_before_is_not_saved_up():
    buf, told = Buffer(b"abc"), Told()
    buf.add_cb(told)
    buf.drain(1)
    assert told == [(3, 0, 1, None)]


ACTIONS = {
    "close": lambda buf, entry: buf.close(),
    "remove itself": lambda buf, entry: entry.remove(),
    "drain": lambda buf, entry: buf.drain(),
    "add a callback": lambda buf, entry: buf.add_cb(lambda *args: None),
    "collect": lambda buf, entry: gc.collect(),
    "take lines": lambda buf, entry: buf.readlines(),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "change",
    [
        lambda buf: buf.add(b"x\n"),
        lambda buf: buf.add_reference(b"x\n" * 3000),
        lambda buf: buf.add_reference(bytearray(b"x\n" * 3000)),
        lambda buf: buf.prepend(b"x\n"),
        lambda buf: buf.remove(1),
        lambda buf: buf.readln(),
        lambda buf: buf.readlines(),
        lambda buf: buf.writelines([b"x", b"y"]),
        lambda buf: buf.commit(buf.reserve(3)),
        lambda buf: buf.add_buffer(Buffer(b"abc")),
        lambda buf: buf.add_file(__file__),
        lambda buf: next(buf),
    ],
)
def test_a_callback_may_do_anything(action, change):
    buf, busy = Buffer(b"line\nline\n"), []

    def called(buf, change, arg):
        if not busy:
            busy.append(1)
            ACTIONS[action](buf, entry)

    entry = buf.add_cb(called)
    change(buf)
    assert busy


def test_an_endless_recursion_is_an_exception(monkeypatch):
    told = []
    # A builtin: at this depth a function in Python could not be called as hook.
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    buf = Buffer()
    buf.add_cb(lambda buf, change, arg: buf.add(b"x"))
    buf.add(b"x")
    assert [one.exc_type for one in told] == [RecursionError]
    told.clear()  # what it holds refers to the hook's arguments


# --- exceptions


def fail(buf, change, arg):
    raise ZeroDivisionError


def test_without_a_base_an_exception_is_unraisable_and_the_change_stays(unraisable):
    buf, told = Buffer(), Told()
    buf.add_cb(told)
    buf.add_cb(fail)
    buf.add(b"abc")
    assert unraisable == [ZeroDivisionError]
    assert bytes(buf) == b"abc"
    assert len(told) == 1


def test_of_a_connection_the_base_s_handler_is_told(base, socketpair):
    found = []
    base.exception_handler = lambda base, context: found.append(context)
    bev = BufferEvent(base, socketpair[0])
    bev.output.add_cb(fail)
    out = bev.output
    out.add(b"abc")
    (context,) = found
    assert isinstance(context["exception"], ZeroDivisionError)
    assert context["source"] is out
    assert context["callback"] is fail
    assert not bev.closed
    bev.close()


def test_a_raising_base_ends_its_loop(base, socketpair):
    base.exception_handler = RAISE
    near, far = socketpair
    with BufferEvent(base, near) as bev:
        bev.enable(EV_WRITE)
        bev.output.add(b"abc")
        bev.output.add_cb(fail)
        with pytest.raises(ZeroDivisionError):
            base.dispatch()
    assert far.recv(10) == b"abc"


# --- who keeps whom


def test_callbacks_of_its_own_go_with_a_buffer():
    told = Told()
    gone = weakref.ref(told)
    buf = Buffer()
    entry = buf.add_cb(told)
    del told
    assert gone() is not None
    gc.disable()
    try:
        del buf
        assert entry.removed
        del entry
        assert gone() is None
    finally:
        gc.enable()


def test_closing_lets_callbacks_go():
    told = Told()
    gone = weakref.ref(told)
    buf = Buffer()
    buf.add_cb(told)
    del told
    buf.close()
    assert gone() is None


def test_a_cycle_through_a_callback_is_collected():
    class Mine(Buffer):
        pass

    buf = Mine(b"abc")
    buf.add_cb(lambda *args, kept=buf: kept)
    buf.entry = buf.add_cb(buf.add)
    gone = weakref.ref(buf)
    del buf
    gc.collect()
    assert gone() is None


def test_a_connection_s_callbacks_stay_without_its_buffer(base, socketpair):
    """Nobody but the base has the connection or its buffer, and both are there."""
    near, far = socketpair
    told = Told()
    gone = weakref.ref(BufferEvent(base, near, options=0))
    assert gone() is None
    bev = BufferEvent(base, near)
    gone = weakref.ref(bev), weakref.ref(bev.input)
    assert gone[1]() is None
    bev.input.add_cb(told)
    gone = weakref.ref(bev), weakref.ref(bev.input)
    bev.enable(2)
    del bev
    gc.collect()
    far.send(b"hello")
    base.loop(EVLOOP_NONBLOCK)
    assert told == [(0, 5, 0, None)]
    gone[0]().close()
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


@pytest.mark.parametrize("how", ["entry", "cb", "all"])
def test_a_connection_goes_when_its_last_callback_is_removed(base, socketpair, how):
    bev = BufferEvent(base, socketpair[0])
    entries = [bev.output.add_cb(print, i) for i in range(2)]
    gone = weakref.ref(bev)
    entries[0].remove()
    assert not entries[1].removed
    if how == "entry":
        entries[1].remove()
    elif how == "cb":
        bev.output.remove_cb(print, 1)
    else:
        bev.close()
    del bev
    gc.collect()
    assert gone() is None
    assert entries[1].removed


def test_callbacks_of_a_connection_go_when_it_is_closed(base, socketpair):
    told = Told()
    gone = weakref.ref(told)
    bev = BufferEvent(base, socketpair[0])
    bev.output.add_cb(told)
    del told
    bev.close()
    assert gone() is None


def test_callbacks_go_with_a_base_that_is_closed(socketpair):
    told = Told()
    gone = weakref.ref(told)
    with EventBase() as base:
        bev = BufferEvent(base, socketpair[0])
        bev.input.add_cb(told)
        buf = bev.input
        del told
    assert buf.closed
    del buf, bev
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("n", range(4))
def test_a_base_that_is_dropped_takes_all_along(socketpair, n):
    class Connection(BufferEvent):
        pass

    base = EventBase()
    bev = Connection(base, socketpair[0])
    told = Told()
    bev.input.add_cb(told, bev)
    bev.output.add_cb(told, (base, bev.input))
    bev.mine = [base, bev, bev.input, told][n:]
    gone = [weakref.ref(x) for x in (base, bev, bev.input, bev.output, told)]
    del bev, base, told
    gc.collect()
    gc.collect()
    assert [ref() for ref in gone] == [None] * 5


def test_a_callback_that_closes_the_connection_in_its_end_is_harmless(base, socketpair):
    """Dropping the callback, which closing does, closes again: base and all."""

    class Last:
        def __call__(self, *args):
            pass

        def __del__(self):
            bev.close()
            base.close()

    bev = BufferEvent(base, socketpair[0])
    bev.output.add_cb(Last())
    bev.input.add_cb(Last())
    bev.close()
    assert base.closed


# --- deferred


def test_deferred_callbacks_run_once_from_the_loop_with_the_sum(base):
    buf, told = Buffer(b"ab"), Told()
    buf.add_cb(told)
    buf.defer_callbacks(base)
    buf.add(b"cd")
    buf.drain(3)
    assert told == []
    base.loop(EVLOOP_NONBLOCK)
    base.loop(EVLOOP_NONBLOCK)
    assert told == [(2, 2, 3, None)]


def test_deferred_exceptions_go_to_the_base(base):
    found = []
    base.exception_handler = lambda base, context: found.append(context["source"])
    buf = Buffer()
    buf.defer_callbacks(base)
    buf.add_cb(fail)
    buf.add(b"x")
    base.loop(EVLOOP_NONBLOCK)
    assert found == [buf]


def test_what_is_deferred_goes_with_the_buffer(base):
    buf, told = Buffer(), Told()
    buf.add_cb(told)
    buf.defer_callbacks(base)
    buf.add(b"x")
    del buf
    base.loop(EVLOOP_NONBLOCK)
    assert told == []


def test_what_is_deferred_to_a_closed_base_runs_never():
    buf, told = Buffer(), Told()
    buf.add_cb(told)
    with EventBase() as base:
        buf.defer_callbacks(base)
        buf.add(b"x")
    buf.add(b"y")
    assert told == []
    with pytest.raises(RuntimeError):
        buf.defer_callbacks(base)
    with pytest.raises(TypeError):
        buf.defer_callbacks(None)
    buf.close()


def test_entries_are_made_by_buffers_only():
    entry = BufferCallback()
    assert entry.removed
    with pytest.raises(TypeError):
        entry.__reduce__()
    with pytest.raises(ValueError, match="not a callback"):
        Buffer().remove_cb_entry(entry)
