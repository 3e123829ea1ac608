"""Time limits of connections: never early, and only while something is waited for."""

import time

import pytest

from pyevent import (
    BEV_EVENT_READING,
    BEV_EVENT_TIMEOUT,
    BEV_EVENT_WRITING,
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EV_WRITE,
    Event,
)

LIMIT = 0.03


class Told:
    """An event callback: (what, seconds since the start) of each event."""

    def __init__(self):
        self.start = time.monotonic()
        self.seen = []

    def __call__(self, bev, what, arg):
        self.seen.append((what, time.monotonic() - self.start))


@pytest.fixture
def told():
    return Told()


def stuff(bev):
    """More output than the kernel takes."""
    bev.write(b"x" * 4_000_000)


@pytest.mark.parametrize("options", [0, BEV_OPT_DEFER_CALLBACKS])
def test_read_timeout_is_told_and_switches_reading_off(streams, told, options):
    bev, _ = streams.pair(options=BEV_OPT_CLOSE_ON_FREE | options)
    bev.setcb(eventcb=told)
    bev.set_timeouts(LIMIT)
    bev.enable(EV_READ)
    streams.until(lambda: told.seen)
    ((what, after),) = told.seen
    assert what == BEV_EVENT_READING | BEV_EVENT_TIMEOUT
    assert after >= LIMIT
    assert bev.enabled == EV_WRITE


def test_read_timeout_begins_anew_with_enable(streams, told):
    bev, _ = streams.pair()
    bev.setcb(eventcb=told)
    bev.set_timeouts(LIMIT)
    bev.enable(EV_READ)
    streams.until(lambda: told.seen)
    again = time.monotonic()
    bev.enable(EV_READ)
    streams.until(lambda: len(told.seen) == 2)
    assert time.monotonic() - again >= LIMIT


def test_what_arrives_postpones_the_read_timeout(streams, base, told):
    bev, peer = streams.pair()
    read_at = []
    bev.setcb(lambda bev, arg: read_at.append(time.monotonic()), None, told)
    bev.set_timeouts(LIMIT)
    left = iter(range(8))

    def send(fd, what, arg):
        if next(left, None) is None:
            ticks.delete()
        else:
            peer.send(b"x")

    ticks = Event(base, -1, EV_PERSIST, send)
    ticks.add(LIMIT / 4)
    start = time.monotonic()
    bev.enable(EV_READ)
    streams.until(lambda: told.seen)
    assert len(read_at) == 8 or told.seen[0][1] > LIMIT  # a stall of the machine may end it
    assert time.monotonic() - max(read_at, default=start) >= LIMIT


def test_write_timeout_is_told_while_output_is_stuck(streams, told):
    bev, _ = streams.pair()
    bev.setcb(eventcb=told)
    bev.set_timeouts(None, LIMIT)
    stuff(bev)
    streams.until(lambda: told.seen)
    ((what, after),) = told.seen
    assert what == BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT
    assert after >= LIMIT
    assert bev.enabled == 0


def test_write_that_makes_progress_does_not_time_out(streams, told):
    bev, peer = streams.pair()
    written = []
    bev.setcb(None, lambda bev, arg: written.append(len(bev.output)), told)
    bev.set_timeouts(None, 5)
    stuff(bev)
    assert len(streams.receive(peer, 4_000_000)) == 4_000_000
    assert written == [0]
    assert told.seen == []


def nothing(base, seconds):
    """Let that much time pass in the loop."""
    base.once(-1, EV_TIMEOUT, lambda *args: base.loopbreak(), timeout=seconds)
    base.dispatch()


def test_timeouts_do_not_run_while_nothing_is_waited_for(streams, base, told):
    idle, _ = streams.pair()  # reading is off, the output empty
    full, peer = streams.pair()  # reading is held by the high mark
    off, _ = streams.pair()  # writing is off
    for bev in (idle, full, off):
        bev.setcb(eventcb=told)
        bev.set_timeouts(LIMIT, LIMIT)
    full.setwatermark(EV_READ, 0, 1)
    peer.send(b"x")
    full.enable(EV_READ)
    off.disable(EV_WRITE)
    off.write(b"x")
    nothing(base, 3 * LIMIT)
    assert told.seen == []


@pytest.mark.parametrize("limits", [(None, None), (0, 0), ()])
def test_timeouts_can_be_taken_away(streams, base, told, limits):
    bev, _ = streams.pair()
    bev.setcb(eventcb=told)
    bev.enable(EV_READ)
    stuff(bev)
    streams.run_ready()
    bev.set_timeouts(LIMIT, LIMIT)
    bev.set_timeouts(*limits)
    nothing(base, 2 * LIMIT)
    assert told.seen == []


@pytest.mark.parametrize("limit", [-1, -0.5, float("nan"), float("inf")])
def test_limits_that_are_no_time_are_refused(streams, limit):
    bev, _ = streams.pair()
    with pytest.raises(ValueError, match="timeout must"):
        bev.set_timeouts(limit)
    with pytest.raises(ValueError, match="timeout must"):
        bev.set_timeouts(1, limit)


def test_limits_are_numbers(streams):
    bev, _ = streams.pair()
    bev.set_timeouts(10**30, 1e30)  # longer than the clock runs
    with pytest.raises(TypeError):
        bev.set_timeouts("1")


def test_closing_stops_the_timeouts(streams, base, told):
    bev, _ = streams.pair()
    bev.setcb(eventcb=told)
    bev.set_timeouts(LIMIT, LIMIT)
    bev.enable(EV_READ)
    bev.close()
    assert base.dispatch() == 1
    assert told.seen == []
