"""Watermarks: when callbacks run, and when reading pauses."""

import pytest

from pyevent import EV_READ, EV_WRITE


def test_marks_are_zero_at_first_and_then_as_set(streams):
    bev, _ = streams.pair()
    assert bev.getwatermark(EV_READ) == bev.getwatermark(EV_WRITE) == (0, 0)
    bev.setwatermark(EV_READ, 10, 20)
    bev.setwatermark(EV_WRITE, 30)
    assert bev.getwatermark(EV_READ) == (10, 20)
    assert bev.getwatermark(EV_WRITE) == (30, 0)
    bev.setwatermark(EV_READ | EV_WRITE, 1, 2)
    assert bev.getwatermark(EV_READ) == bev.getwatermark(EV_WRITE) == (1, 2)


@pytest.mark.parametrize("events", [0, EV_READ | EV_WRITE])
def test_marks_are_asked_for_one_direction(streams, events):
    bev, _ = streams.pair()
    with pytest.raises(ValueError, match="takes EV_READ or EV_WRITE"):
        bev.getwatermark(events)


def test_negative_marks_are_refused(streams):
    bev, _ = streams.pair()
    with pytest.raises(OverflowError):
        bev.setwatermark(EV_READ, -1)


def test_read_callback_waits_for_the_low_mark(streams):
    bev, peer = streams.pair()
    seen = []
    bev.setcb(lambda bev, arg: seen.append(len(bev.input)))
    bev.setwatermark(EV_READ, 5)
    bev.enable(EV_READ)
    peer.send(b"1234")
    streams.until(lambda: len(bev.input) == 4)
    assert seen == []
    peer.send(b"5")
    streams.until(lambda: seen)
    assert seen == [5]


def test_reading_pauses_at_the_high_mark_and_goes_on_below_it(streams):
    bev, peer = streams.pair()
    seen = []
    bev.setcb(lambda bev, arg: seen.append(len(bev.input)))
    bev.setwatermark(EV_READ, 0, 100)
    bev.enable(EV_READ)
    peer.send(b"x" * 250)
    streams.run_ready()
    assert seen == [100]
    assert bev.enabled & EV_READ  # it is held, not switched off
    bev.input.drain(30)
    streams.run_ready()
    assert seen == [100, 100]
    assert bev.read(1000) == b"x" * 100
    streams.run_ready()
    assert seen == [100, 100, 100]
    assert bev.read(1000) == b"x" * 100
    streams.run_ready()
    assert seen == [100, 100, 100, 20]


def test_draining_in_the_callback_keeps_the_flow_going(streams):
    bev, peer = streams.pair()
    got = bytearray()
    longest = 0

    def readable(bev, arg):
        nonlocal longest
        longest = max(longest, len(bev.input))
        got.extend(bev.read(64))

    bev.setcb(readable)
    bev.setwatermark(EV_READ, 1, 64)
    bev.enable(EV_READ)
    data = bytes(range(256)) * 40
    peer.send(data)
    streams.until(lambda: len(got) == len(data))
    assert bytes(got) == data
    assert longest == 64


@pytest.mark.parametrize("high", [20, 0])
def test_raising_the_high_mark_resumes(streams, high):
    bev, peer = streams.pair()
    bev.setwatermark(EV_READ, 0, 10)
    bev.enable(EV_READ)
    peer.send(b"x" * 15)
    streams.run_ready()
    assert len(bev.input) == 10
    bev.setwatermark(EV_READ, 0, high)
    streams.run_ready()
    assert len(bev.input) == 15


def test_end_of_file_waits_behind_a_full_input(streams):
    bev, peer = streams.pair()
    seen = []
    bev.setcb(eventcb=lambda bev, what, arg: seen.append(what))
    bev.setwatermark(EV_READ, 0, 4)
    bev.enable(EV_READ)
    peer.send(b"12345678")
    peer.close()
    streams.run_ready()
    assert (len(bev.input), seen) == (4, [])
    assert bev.read(4) == b"1234"
    streams.run_ready()
    assert bev.read(4) == b"5678"
    streams.until(lambda: seen)


def test_disabled_reading_stays_off_when_the_input_is_drained(streams):
    bev, peer = streams.pair()
    bev.setwatermark(EV_READ, 0, 4)
    bev.enable(EV_READ)
    peer.send(b"12345678")
    streams.run_ready()
    bev.disable(EV_READ)
    assert bev.read(4) == b"1234"
    streams.run_ready()
    assert len(bev.input) == 0


def test_write_callback_comes_at_the_low_mark(streams):
    bev, peer = streams.pair("records")
    seen = []
    bev.setcb(writecb=lambda bev, arg: seen.append(len(bev.output)))
    bev.setwatermark(EV_WRITE, 150)
    bev.set_max_single_write(100)
    bev.write(b"x" * 400)
    streams.until(lambda: len(bev.output) == 0)
    assert seen == [100, 0]
    assert [len(peer.recv(1000)) for _ in range(4)] == [100] * 4


def test_write_callback_keeps_the_output_filled(streams):
    """A producer that adds whenever little is left sends everything, and no more."""
    bev, peer = streams.pair()
    parts = iter([b"%06d" % i * 1000 for i in range(100)])
    longest = 0

    def refill(bev, arg):
        nonlocal longest
        bev.write(next(parts, b""))
        longest = max(longest, len(bev.output))

    bev.setcb(writecb=refill)
    bev.setwatermark(EV_WRITE, 3000)
    bev.enable(EV_WRITE)
    got = streams.receive(peer, 600_000)
    assert got == b"".join(b"%06d" % i * 1000 for i in range(100))
    assert longest <= 9000
