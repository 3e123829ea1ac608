"""How fast connections may be, by themselves and together.

Ticks that matter are short and their number is not relied on; where a limit is to hold,
they are an hour long.
"""

import gc
import time
import weakref

import pytest

import pyevent
from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    EV_RATE_LIMIT_MAX,
    EV_READ,
    BufferEvent,
    EventBase,
    RateLimit,
    RateLimitGroup,
)

HOUR = 3600.0


def test_limit_says_what_it_was_made_with():
    limit = RateLimit(10, 20, 30, 40, 0.5)
    assert (limit.read_rate, limit.read_burst) == (10, 20)
    assert (limit.write_rate, limit.write_burst) == (30, 40)
    assert limit.tick == 0.5
    assert repr(limit) == "RateLimit(10, 20, 30, 40, 0.5)"


def test_what_is_not_given_is_not_limited():
    limit = RateLimit(write_rate=100)
    assert limit.read_rate == limit.read_burst == EV_RATE_LIMIT_MAX
    assert limit.write_rate == limit.write_burst == 100
    assert limit.tick == 1.0


@pytest.mark.parametrize(
    "arguments",
    [(0,), (5, 4), (1, 1, 0), (1, 1, 5, 4), (1, 1, 1, 1, 0), (EV_RATE_LIMIT_MAX + 1,)],
)
def test_impossible_limits_are_refused(arguments):
    with pytest.raises(ValueError, match="1 <= rate <= burst"):
        RateLimit(*arguments)


@pytest.mark.parametrize("arguments", [(-1,), (1, 1, 1, 1, -1.0), (2**65,)])
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises((ValueError, OverflowError)):
        RateLimit(*arguments)


def test_limits_with_the_same_numbers_are_equal():
    assert RateLimit(1, 2, 3, 4) == RateLimit(1, 2, 3, 4, 1.0)
    assert RateLimit(1, 2, 3, 4) != RateLimit(1, 2, 3, 5)
    assert RateLimit(1) != 1
    assert len({RateLimit(1), RateLimit(1), RateLimit(2)}) == 2


def test_freed_limit_is_of_no_use():
    limit = RateLimit(5)
    limit.free()
    limit.free()
    assert repr(limit) == "<RateLimit freed>"
    with pytest.raises(RuntimeError, match="freed"):
        limit.read_rate  # noqa: B018
    with pytest.raises(TypeError):
        limit.__reduce__()


# --- of one connection ------------------------------------------------------------


def test_connection_has_no_limit_at_first(streams):
    bev, _ = streams.pair()
    assert bev.get_token_bucket_cfg() is None
    assert bev.get_read_limit() == bev.get_write_limit() == EV_RATE_LIMIT_MAX
    assert bev.get_max_to_read() == bev.get_max_to_write() == 16384
    with pytest.raises(ValueError, match="has no rate limit"):
        bev.decrement_read_limit(1)
    with pytest.raises(ValueError, match="has no rate limit"):
        bev.decrement_write_limit(1)


def test_reading_stops_at_the_limit(streams):
    bev, peer = streams.pair()
    limit = RateLimit(10, 10, tick=HOUR)
    bev.set_rate_limit(limit)
    assert bev.get_token_bucket_cfg() == limit
    limit.free()  # the connection keeps it
    bev.enable(EV_READ)
    peer.send(b"0123456789abcdef")
    streams.until(lambda: len(bev.input) == 10)
    streams.run_ready()
    assert len(bev.input) == 10
    assert (bev.get_read_limit(), bev.get_max_to_read()) == (0, 0)
    bev.decrement_read_limit(-2)
    streams.until(lambda: len(bev.input) == 12)
    bev.set_rate_limit(None)
    streams.until(lambda: len(bev.input) == 16)


def test_writing_stops_at_the_limit(streams):
    bev, peer = streams.pair()
    bev.set_rate_limit(RateLimit(None, None, 10, 10, HOUR))
    bev.write(b"0123456789abcdef")
    assert streams.receive(peer, 10) == b"0123456789"
    streams.run_ready()
    assert len(bev.output) == 6
    bev.decrement_write_limit(-1)
    assert streams.receive(peer, 1) == b"a"
    bev.set_rate_limit(None)
    assert streams.receive(peer, 5) == b"bcdef"


def test_limited_connection_takes_its_time(streams):
    """1,000 bytes at 100 for each 10 ms: not before 80 ms have passed."""
    bev, peer = streams.pair()
    bev.set_rate_limit(RateLimit(write_rate=100, tick=0.01))
    start = time.monotonic()
    bev.write(b"x" * 1000)
    assert streams.receive(peer, 1000) == b"x" * 1000
    assert time.monotonic() - start >= 0.08


def test_flat_names_of_a_connection(streams):
    bev, _ = streams.pair()
    cfg = pyevent.ev_token_bucket_cfg_new(10, 20, 30, 40, HOUR)
    pyevent.bufferevent_set_rate_limit(bev, cfg)
    assert pyevent.bufferevent_get_token_bucket_cfg(bev) == cfg
    pyevent.bufferevent_decrement_read_limit(bev, 3)
    pyevent.bufferevent_decrement_write_limit(bev, 4)
    assert pyevent.bufferevent_get_read_limit(bev) == 7
    assert pyevent.bufferevent_get_write_limit(bev) == 26
    assert pyevent.bufferevent_get_max_to_read(bev) == 7
    assert pyevent.bufferevent_get_max_to_write(bev) == 26
    pyevent.ev_token_bucket_cfg_free(cfg)


@pytest.mark.parametrize("wrong", [5, "10", (1, 2)])
def test_limit_must_be_one(streams, wrong):
    bev, _ = streams.pair()
    with pytest.raises(TypeError):
        bev.set_rate_limit(wrong)
    with pytest.raises(TypeError):
        bev.add_to_rate_limit_group(wrong)


# --- of groups ------------------------------------------------------------------------


@pytest.fixture
def members(streams):
    """members(limit) -> (group, [(connection, peer), ...]), all of which read."""

    def members(limit, count=3):
        group = RateLimitGroup(streams.base, limit)
        pairs = [streams.pair() for _ in range(count)]
        for bev, _ in pairs:
            streams.keep(bev)
            bev.add_to_rate_limit_group(group)
            bev.enable(EV_READ)
        return group, pairs

    return members


def total(pairs):
    return sum(len(bev.input) for bev, _ in pairs)


def test_members_share_one_limit(streams, members):
    group, pairs = members(RateLimit(300, 300, tick=HOUR))
    assert len(group) == 3
    assert repr(group) == "<RateLimitGroup of 3>"
    assert pairs[0][0].get_max_to_read() == 100
    for _, peer in pairs:
        peer.send(b"x" * 1000)
    streams.until(lambda: total(pairs) >= 300)
    streams.run_ready()
    assert 300 <= total(pairs) <= 364  # one share, of 64 at least, may be too much
    assert group.get_read_limit() == 300 - total(pairs)
    assert group.get_totals() == (total(pairs), 0)
    group.reset_totals()
    assert group.get_totals() == (0, 0)


def test_all_members_are_served_in_turn(streams, members):
    _, pairs = members(RateLimit(64, 64, tick=0.001))
    for _, peer in pairs:
        peer.send(b"x" * 64_000)
    streams.until(lambda: all(len(bev.input) >= 640 for bev, _ in pairs))


def test_group_can_be_changed(streams, members):
    group, pairs = members(RateLimit(300, 300, 300, 300, HOUR))
    group.set_min_share(200)
    assert pairs[0][0].get_max_to_read() == 200
    group.set_cfg(RateLimit(60, 60, 600, 600, HOUR))
    assert (group.get_read_limit(), group.get_write_limit()) == (60, 300)
    group.decrement_read(100)
    group.decrement_write(100)
    assert (group.get_read_limit(), group.get_write_limit()) == (-40, 200)
    for _, peer in pairs:
        peer.send(b"x")
    streams.run_ready()
    assert total(pairs) == 0
    group.decrement_read(-100)
    streams.until(lambda: total(pairs) == 3)


@pytest.mark.parametrize("how", ["free", "leave"])
def test_who_is_in_no_group_goes_on(streams, members, how):
    group, pairs = members(RateLimit(1, tick=HOUR))
    group.decrement_read(1000)
    for _, peer in pairs:
        peer.send(b"x" * 100)
    streams.run_ready()
    assert total(pairs) == 0
    if how == "free":
        group.free()
        group.free()
        with pytest.raises(RuntimeError, match="freed"):
            len(group)
        assert repr(group) == "<RateLimitGroup freed>"
    else:
        pairs[0][0].remove_from_rate_limit_group()
        pairs[1][0].add_to_rate_limit_group(None)
        pairs[2][0].close()
        assert len(group) == 0
        assert group  # still one
        del pairs[2]
    streams.until(lambda: total(pairs) == 100 * len(pairs))


def test_dropped_group_stays_in_force(streams, members):
    group, pairs = members(RateLimit(10, tick=HOUR))
    weak = weakref.ref(group)
    del group
    gc.collect()
    assert weak() is None
    for _, peer in pairs:
        peer.send(b"x" * 1000)
    streams.until(lambda: total(pairs) >= 10)
    streams.run_ready()
    assert total(pairs) <= 74


def test_group_of_a_closed_base_limits_nothing(streams, backend):
    bev, peer = streams.pair()
    streams.keep(bev)
    with EventBase(backend=backend) as other:
        group = RateLimitGroup(other, RateLimit(1, tick=HOUR))
        bev.add_to_rate_limit_group(group)
        bev.enable(EV_READ)
        peer.send(b"abc")
        streams.until(lambda: len(bev.input) == 1)
    streams.until(lambda: len(bev.input) == 3)
    with pytest.raises(RuntimeError, match="its base is closed"):
        len(group)
    with pytest.raises(RuntimeError, match="closed"):
        RateLimitGroup(other, RateLimit(1))


def test_pairs_and_filters_are_limited_too(streams):
    a, b = BufferEvent.pair(streams.base)
    streams.keep(b)
    over = streams.keep(a.filter(None, None, BEV_OPT_CLOSE_ON_FREE))
    b.set_rate_limit(RateLimit(3, tick=HOUR))
    over.set_rate_limit(RateLimit(write_rate=5, tick=HOUR))
    b.enable(EV_READ)
    over.write(b"0123456789")
    streams.run_ready()
    assert (len(b.input), len(a.output), len(over.output)) == (3, 2, 5)


def test_flat_names_of_a_group(streams):
    bev, _ = streams.pair()
    group = pyevent.bufferevent_rate_limit_group_new(streams.base, RateLimit(10, tick=HOUR))
    pyevent.bufferevent_add_to_rate_limit_group(bev, group)
    pyevent.bufferevent_rate_limit_group_set_min_share(group, 5)
    pyevent.bufferevent_rate_limit_group_decrement_read(group, 1)
    pyevent.bufferevent_rate_limit_group_decrement_write(group, 1)
    assert pyevent.bufferevent_rate_limit_group_get_read_limit(group) == 9
    assert pyevent.bufferevent_rate_limit_group_get_write_limit(group) == EV_RATE_LIMIT_MAX - 1
    pyevent.bufferevent_rate_limit_group_set_cfg(group, RateLimit(5, tick=HOUR))
    assert pyevent.bufferevent_rate_limit_group_get_totals(group) == (0, 0)
    pyevent.bufferevent_rate_limit_group_reset_totals(group)
    pyevent.bufferevent_remove_from_rate_limit_group(bev)
    pyevent.bufferevent_rate_limit_group_free(group)
