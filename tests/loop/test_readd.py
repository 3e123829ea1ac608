"""An event that is added again, for a number that is another file's by then, or after an edge;
and a periodic timer that is made active by hand."""

import os
import socket
import time

import pytest

from pyevent import (
    EV_CLOSED,
    EV_ET,
    EV_FEATURE_EARLY_CLOSE,
    EV_FEATURE_ET,
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    Event,
)


def turns(base, n=3):
    for _ in range(n):
        base.loop(EVLOOP_NONBLOCK | EVLOOP_ONCE)


class Client:
    """One event for one number, whatever file that is."""

    def __init__(self, base, what, renew):
        self.near, self.far = socket.socketpair()
        self.number = os.dup(self.near.fileno())
        os.set_blocking(self.number, False)
        self.got, self.renew = [], renew
        self.event = Event(base, self.number, EV_READ | what, self.readable)
        self.persists = bool(what & EV_PERSIST)
        self.event.add()

    def readable(self, fd, what, arg):
        try:
            self.got.append(os.read(fd, 9))
        except BlockingIOError:
            return
        if self.got == [b"old"]:
            self.reconnect()

    def reconnect(self):
        if self.persists:
            self.event.delete()
        self.near.close()
        self.far.close()
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        if self.renew == "dup2":
            os.dup2(self.near.fileno(), self.number)
        else:
            os.close(self.number)
            assert os.dup(self.near.fileno()) == self.number
        self.event.add()
        self.far.send(b"new")

    def close(self):
        self.event.close()
        self.near.close()
        self.far.close()
        os.close(self.number)


@pytest.mark.parametrize("renew", ["dup2", "close and open"])
@pytest.mark.parametrize("what", [0, EV_PERSIST, EV_ET, EV_ET | EV_PERSIST])
def test_an_event_hears_of_the_file_that_got_its_number(base, what, renew):
    if what & EV_ET and not base.features & EV_FEATURE_ET:
        pytest.skip("no edges")
    client = Client(base, what, renew)
    client.far.send(b"old")
    turns(base)
    assert client.got == [b"old", b"new"]
    client.close()


def test_outside_callbacks_a_number_may_change_its_file_too(base):
    client = Client(base, EV_PERSIST, "close and open")
    turns(base)
    client.reconnect()
    turns(base)
    assert client.got == [b"new"]
    client.close()


def test_another_event_on_the_number_does_not_hide_the_new_file(base):
    if not base.features & EV_FEATURE_EARLY_CLOSE:
        pytest.skip("no EV_CLOSED")
    client = Client(base, EV_PERSIST, "dup2")
    with Event(base, client.number, EV_CLOSED | EV_PERSIST, lambda *_: None) as other:
        other.add()
        client.far.send(b"old")
        turns(base)
    assert client.got == [b"old", b"new"]
    client.close()


@pytest.mark.parametrize("again", ["in the callback", "later in the turn"])
def test_an_edge_triggered_event_added_again_gets_the_rest(base, again):
    near, far = socket.socketpair()
    near.setblocking(False)
    got = []

    def readable(fd, what, arg):
        got.append(near.recv(1))
        if again == "in the callback":
            event.add()
        else:
            base.once(-1, EV_TIMEOUT, lambda *_: event.add())

    with near, far, Event(base, near, EV_READ | EV_ET, readable) as event:
        event.add()
        far.send(b"abc")
        base.loop(EVLOOP_ONCE)
        for _ in range(8):
            if len(got) < 3:
                turns(base, 1)
    assert got == [b"a", b"b", b"c"]


def test_a_periodic_timer_made_active_by_hand_keeps_its_schedule(base):
    times = []
    with Event(base, -1, EV_PERSIST, lambda *_: times.append(time.monotonic())) as event:
        begin = time.monotonic()
        event.add(0.4)
        event.active(EV_TIMEOUT)
        while len(times) < 2:
            base.loop(EVLOOP_ONCE)
    assert times[0] - begin < 0.4
    assert 0.4 <= times[1] - begin < 0.8, "a period was lost"
