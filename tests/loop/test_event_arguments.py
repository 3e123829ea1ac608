"""What events take and what their callbacks get: types, fd-like objects, errors."""

import errno
import math
import os
import re
import signal
import weakref

import pytest

import pyevent
from pyevent import (
    EV_PERSIST,
    EV_READ,
    EV_SIGNAL,
    EV_TIMEOUT,
    EV_WRITE,
    Event,
    EventBase,
    EventFlag,
)


class HasFileno:
    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd


def test_callback_gets_the_fd_a_flag_set_and_the_argument(base, socketpair):
    near, far = socketpair
    argument = object()
    seen = []
    Event(base, near, EV_WRITE, lambda *args: seen.append(args), argument).add()
    base.dispatch()
    ((fd, what, arg),) = seen
    assert (fd, type(fd)) == (near.fileno(), int)
    assert what is EventFlag.EV_WRITE
    assert type(what) is EventFlag
    assert arg is argument


def test_combined_flags_are_a_flag_set_as_well(base, socketpair):
    near, far = socketpair
    far.send(b"x")
    seen = []
    Event(base, near, EV_READ | EV_WRITE, lambda fd, what, arg: seen.append(what)).add()
    base.dispatch()
    assert type(seen[0]) is EventFlag
    assert seen[0] == EV_READ | EV_WRITE == 6


def test_timer_callback_gets_fd_minus_one_and_none(base):
    seen = []
    Event(base, None, 0, lambda *args: seen.append(args)).add(0)
    base.dispatch()
    assert seen == [(-1, EV_TIMEOUT, None)]


def test_fd_may_be_a_number_or_anything_with_fileno(base, socketpair):
    near, far = socketpair
    for fd in (near, near.fileno(), HasFileno(near.fileno())):
        ev = Event(base, fd, EV_WRITE, print)
        assert ev.fd == ev.get_fd() == ev.fileno() == near.fileno()


def test_fd_may_be_an_open_file(base):
    fds = os.pipe()
    with open(fds[0], "rb", 0) as reader, open(fds[1], "wb", 0) as writer:
        seen = []
        Event(base, reader, EV_READ, lambda *_: seen.append(reader.read(9))).add()
        writer.write(b"hello")
        base.dispatch()
    assert seen == [b"hello"]


def test_event_keeps_the_object_its_fd_came_from(base, socketpair):
    """So that a socket that nobody refers to isn't closed by its finalizer."""
    file = HasFileno(socketpair[0].fileno())
    is_alive = weakref.ref(file)
    ev = Event(base, file, EV_WRITE, lambda *_: None)
    ev.add()
    del file
    base.dispatch()
    assert is_alive()
    ev.close()
    assert not is_alive()


def test_properties_give_what_the_event_was_made_with(base, socketpair):
    ev = Event(base, socketpair[0], EV_READ | EV_PERSIST, print, "arg")
    assert ev.base is ev.get_base() is base
    assert ev.events == ev.get_events() == EV_READ | EV_PERSIST
    assert type(ev.events) is EventFlag
    assert ev.callback is ev.get_callback() is print
    assert ev.arg == ev.get_callback_arg() == "arg"
    assert not ev.closed


def test_flags_may_be_plain_numbers(base, socketpair):
    ev = Event(base, socketpair[0], 0x02 | 0x10, print)
    assert ev.events == EV_READ | EV_PERSIST


def test_arguments_have_names(base, socketpair):
    ev = Event(base=base, fd=socketpair[0], what=EV_READ, callback=print, arg=1)
    ev.add(timeout=1)
    ev.active(res=EV_READ, ncalls=1)
    assert ev.get_pending(what=EV_READ)
    Event.timer(base=base, callback=print, arg=1)
    Event.signal(base=base, signum=signal.SIGUSR1, callback=print, arg=1)
    base.once(fd=-1, what=EV_TIMEOUT, callback=lambda *_: None, arg=1, timeout=1)


# --- errors ------------------------------------------------------------------------


def test_closed_fd_is_refused_when_it_is_added(base):
    fd, other = os.pipe()
    os.close(other)
    os.close(fd)
    ev = Event(base, fd, EV_READ, print)
    with pytest.raises(OSError, match=f"fd={fd}") as failed:
        ev.add(60)
    assert failed.value.errno == errno.EBADF
    assert not ev.pending
    assert base.dispatch() == 1


@pytest.mark.parametrize("fd", [100_000, 2**31 - 1])
def test_number_that_is_no_fd_is_refused_without_great_cost(base, fd):
    before = sum(pyevent.live_allocations().values())
    with pytest.raises(OSError, match="Bad file") as failed:
        Event(base, fd, EV_READ, print).add()
    assert failed.value.errno == errno.EBADF
    assert sum(pyevent.live_allocations().values()) <= before + 1  # a page of the fd map


def test_regular_file_depends_on_the_backend(base, tmp_path):
    """poll says that it is ready, epoll takes none."""
    seen = []
    with (tmp_path / "file").open("wb") as file:
        ev = Event(base, file, EV_WRITE, lambda *_: seen.append(1))
        if base.features & pyevent.EV_FEATURE_FDS:
            ev.add()
            base.dispatch()
            assert seen == [1]
        else:
            with pytest.raises(PermissionError):
                ev.add()
            assert not ev.pending


@pytest.mark.parametrize("fd", [-1, -2, None])
@pytest.mark.parametrize("what", [EV_READ, EV_WRITE, EV_SIGNAL])
def test_io_event_needs_a_descriptor(base, fd, what):
    with pytest.raises((ValueError, TypeError)):
        Event(base, fd, what, print)


def test_object_whose_fileno_is_negative_is_refused(base):
    with pytest.raises(ValueError, match="negative"):
        Event(base, HasFileno(-1), EV_READ, print)


@pytest.mark.parametrize("fd", ["0", 1.5, b"", object()])
def test_what_is_no_descriptor_is_a_type_error(base, fd):
    with pytest.raises(TypeError):
        Event(base, fd, EV_READ, print)


def test_exception_of_fileno_is_passed_on(base):
    class Broken:
        def fileno(self):
            raise LookupError("no fd today")

    with pytest.raises(LookupError, match="today"):
        Event(base, Broken(), EV_READ, print)


@pytest.mark.parametrize("what", [EV_SIGNAL | EV_READ, EV_SIGNAL | EV_WRITE, 0x100, -1, 1 << 20])
def test_flags_that_do_not_go_together_are_refused(base, what):
    with pytest.raises(ValueError, match=r"EV_SIGNAL excludes|unknown event flags"):
        Event(base, 1, what, print)


@pytest.mark.parametrize("callback", [None, 1, "print"])
def test_callback_must_be_callable(base, callback):
    with pytest.raises(TypeError, match=re.escape(repr(callback))):
        Event(base, -1, 0, callback)


@pytest.mark.parametrize("signum", [0, -1, 65, 1000, signal.SIGKILL, signal.SIGSTOP])
def test_signal_that_cannot_be_caught_is_refused(base, signum):
    with pytest.raises((OSError, ValueError)) as failed:
        Event.signal(base, signum, print).add()
    assert getattr(failed.value, "errno", errno.EINVAL) == errno.EINVAL


@pytest.mark.parametrize("timeout", [math.nan, math.inf, -math.inf, -1, -0.001, -(2**70)])
def test_timeouts_are_finite_and_not_negative(base, timeout):
    ev = Event.timer(base, print)
    with pytest.raises(ValueError, match="timeout must"):
        ev.add(timeout)
    with pytest.raises(ValueError, match="timeout must"):
        base.loopexit(timeout)
    with pytest.raises(ValueError, match="timeout must"):
        base.once(-1, EV_TIMEOUT, print, timeout=timeout)
    assert not ev.pending
    assert base.get_num_events(pyevent.EVENT_BASE_COUNT_ADDED) == 0


@pytest.mark.parametrize("timeout", ["1", b"1", [], 1j])
def test_timeouts_are_numbers(base, timeout):
    ev = Event.timer(base, print)
    with pytest.raises(TypeError):
        ev.add(timeout)
    assert not ev.pending


def test_timeouts_may_be_anything_with_a_float_value(base):
    from decimal import Decimal
    from fractions import Fraction

    for timeout in (Decimal("0.001"), Fraction(1, 1000), True, 0):
        Event.timer(base, print).add(timeout)
    assert base.get_num_events(pyevent.EVENT_BASE_COUNT_ADDED) == 4


def test_active_takes_event_flags_only(base):
    with pytest.raises(ValueError, match="unknown event flags"):
        Event.timer(base, print).active(0x100)


def test_base_must_be_a_base():
    for wrong in (None, 1, Event):
        with pytest.raises(TypeError):
            Event(wrong, -1, 0, print)


def test_closed_base_is_refused(backend):
    base = EventBase(backend=backend)
    ev = Event.timer(base, print)
    base.close()
    with pytest.raises(RuntimeError, match="closed"):
        Event(base, -1, 0, print)
    assert ev.closed
    assert repr(ev) == "<Event closed>"


USES = [
    lambda ev: ev.add(),
    lambda ev: ev.delete(),
    lambda ev: ev.remove_timer(),
    lambda ev: ev.active(),
    lambda ev: ev.get_fd(),
    lambda ev: ev.fileno(),
    lambda ev: ev.get_events(),
    lambda ev: ev.get_priority(),
    lambda ev: ev.priority_set(0),
    lambda ev: ev.__enter__(),
    lambda ev: ev.pending,
    lambda ev: ev.base,
    lambda ev: ev.callback,
    lambda ev: ev.arg,
    lambda ev: ev.get_assignment(),
    lambda ev: ev.finalize(print),
]


@pytest.mark.parametrize("use", USES)
def test_using_an_event_that_is_not_open_raises(base, use):
    """Closed, or made without a constructor."""
    ev = Event.timer(base, print)
    ev.close()
    for event in (ev, Event.__new__(Event)):
        with pytest.raises(RuntimeError, match="closed"):
            use(event)
        assert event.closed
        event.close()


def test_event_is_set_up_once(base):
    ev = Event.timer(base, print)
    with pytest.raises(RuntimeError, match="already"):
        ev.__init__(base, -1, 0, print)
    ev.add(0)


def test_closed_event_may_be_set_up_anew(base):
    seen = []
    ev = Event.timer(base, print)
    ev.add(60)
    ev.close()
    ev.__init__(base, -1, 0, lambda *args: seen.append(args))
    ev.add(0)
    base.dispatch()
    assert len(seen) == 1


def test_setting_up_an_event_while_it_is_being_set_up_is_refused(base):
    class Meddler:
        def fileno(self):
            ev.__init__(base, -1, 0, print)
            return 0

    ev = Event.__new__(Event)
    with pytest.raises(RuntimeError, match="already"):
        ev.__init__(base, Meddler(), EV_READ, print)
    assert ev.fd == -1


def test_base_closed_while_an_event_is_set_up_is_refused(backend):
    base = EventBase(backend=backend)

    class Meddler:
        def fileno(self):
            base.close()
            return 0

    with pytest.raises(RuntimeError, match="closed"):
        Event(base, Meddler(), EV_READ, print)
