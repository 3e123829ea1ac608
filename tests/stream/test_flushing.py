"""When output is written: at once by its own callback, else at the end of the turn."""

import socket
import threading

import pytest

from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    BEV_OPT_DEFER_CALLBACKS,
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EV_WRITE,
    Event,
)


def test_own_output_is_with_the_peer_before_the_next_callback_of_the_turn(streams, waiting):
    """Both are readable in one wait: when the second runs, the first has answered."""
    answered = []
    first_had_arrived = []

    def answer(bev, peer):
        first_had_arrived.extend(waiting(other) == b"pong" for other in answered)
        bev.read(100)
        bev.write(b"pong")
        assert waiting(peer) == b""  # not within the callback
        answered.append(peer)

    for _ in range(2):
        bev, peer = streams.pair()
        bev.setcb(answer, arg=peer)
        bev.enable(EV_READ)
        peer.send(b"ping")
    streams.run_ready()
    assert len(answered) == 2
    assert first_had_arrived == [True]
    assert waiting(answered[1]) == b"pong"


def test_all_that_a_callback_adds_is_one_write(streams):
    bev, peer = streams.pair("records")

    def answer(bev, arg):
        bev.read(100)
        for word in (b"one ", b"two ", b"three"):
            bev.write(word)
        bev.output.add(b" four")

    bev.setcb(answer)
    bev.enable(EV_READ)
    peer.send(b"?")
    streams.run_ready()
    assert peer.recv(100) == b"one two three four"


def test_output_of_the_event_callback_goes_at_once(streams, waiting):
    bev, peer = streams.pair()
    other, its_peer = streams.pair()
    seen = []
    bev.setcb(eventcb=lambda bev, what, arg: bev.write(b"bye"))
    bev.enable(EV_READ)
    other.setcb(lambda *args: seen.append(waiting(peer)))
    other.enable(EV_READ)
    peer.shutdown(socket.SHUT_WR)
    its_peer.send(b"x")
    streams.run_ready()
    assert waiting(peer) == b"bye"


def test_triggered_callback_s_output_goes_when_it_returns(streams, waiting):
    bev, peer = streams.pair()
    bev.setcb(lambda bev, arg: bev.write(b"now"))
    bev.trigger(EV_READ)
    assert waiting(peer) == b"now"


def test_deferred_callback_s_output_goes_when_it_returns(streams, waiting):
    bev, peer = streams.pair(options=BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)
    bev.setcb(lambda bev, arg: bev.write(b"later"))
    bev.trigger(EV_READ)
    assert waiting(peer) == b""
    streams.run_ready()
    assert waiting(peer) == b"later"


def test_output_from_a_timer_goes_at_the_end_of_its_turn(streams, base, waiting):
    bev, peer = streams.pair("records")
    log = streams.before_waits(lambda timeout: ("wait", waiting(peer)))

    def write(fd, what, part):
        bev.write(part)
        log.append(("timer", waiting(peer)))

    for part in (b"a", b"b"):
        base.once(-1, EV_TIMEOUT, write, part)
    base.once(-1, EV_TIMEOUT, lambda *args: None, timeout=0.01)
    base.dispatch()
    assert log == [("wait", b""), ("timer", b""), ("timer", b""), ("wait", b"ab")]


def test_output_from_another_connection_s_callback_goes_before_the_next_wait(
    streams, base, waiting
):
    target, peer = streams.pair()
    source, its_peer = streams.pair()
    log = streams.before_waits(lambda timeout: ("wait", waiting(peer)))

    def pass_on(bev, arg):
        target.write_buffer(bev.input)
        log.append(("read", waiting(peer)))

    source.setcb(pass_on)
    source.enable(EV_READ)
    its_peer.send(b"through")
    streams.run_ready()
    assert log == [("wait", b""), ("read", b""), ("wait", b"through")]


def test_output_from_another_thread_wakes_the_loop(streams, base):
    bev, peer = streams.pair()
    peer.settimeout(10)
    got = []

    def write():
        got.append(peer.recv(1))  # the loop runs and goes to sleep
        bev.write(b"from the thread")
        got.append(peer.recv(100))
        base.loopexit()

    bev.write(b"!")
    keep = Event(base, -1, EV_PERSIST, print)
    keep.add(30)
    thread = threading.Thread(target=write)
    thread.start()
    base.dispatch()
    thread.join()
    keep.close()
    assert got == [b"!", b"from the thread"]


def test_output_from_before_dispatch_is_written_and_then_nothing_is_left(streams, base, waiting):
    bev, peer = streams.pair()
    bev.write(b"early")
    assert waiting(peer) == b""
    assert base.dispatch() == 1
    assert waiting(peer) == b"early"
    assert len(bev.output) == 0


def test_dispatch_does_not_return_over_output_that_the_kernel_has_not_taken(streams, base):
    bev, peer = streams.pair()
    peer.settimeout(10)
    size = 3_000_000
    got = bytearray()

    def read_all():
        while len(got) < size:
            got.extend(peer.recv(100_000))

    bev.write(b"x" * size)
    thread = threading.Thread(target=read_all)
    thread.start()
    assert base.dispatch() == 1
    assert len(bev.output) == 0
    thread.join()
    assert len(got) == size


@pytest.mark.parametrize("end", ["loopexit", "loopbreak"])
def test_ending_the_loop_writes_first(streams, base, waiting, end):
    bev, peer = streams.pair()
    near, far = streams.sockets()
    streams.keep(near)

    def finish(fd, what, arg):
        bev.write(b"last words")
        getattr(base, end)()

    with Event(base, near, EV_READ, finish) as event:
        event.add()
        far.send(b"x")
        assert base.dispatch() == 0
    assert waiting(peer) == b"last words"


def test_exception_that_leaves_dispatch_writes_first(streams, base, waiting):
    bev, peer = streams.pair()

    def fail(fd, what, arg):
        bev.write(b"last words")
        raise ZeroDivisionError

    base.once(-1, EV_TIMEOUT, fail, timeout=0.001)
    with pytest.raises(ZeroDivisionError):
        base.dispatch()
    assert waiting(peer) == b"last words"


def test_write_callback_s_output_goes_in_the_next_turn(streams, base):
    """Neither recursion nor a loop that nobody else gets a turn of."""
    bev, peer = streams.pair("records")
    log = streams.before_waits(lambda timeout: ("wait", timeout))
    inside = False

    def write_more(bev, arg):
        nonlocal inside
        assert not inside
        inside = True
        written = log.count("written")
        log.append("written")
        if written < 4:
            bev.write(b"%d" % (written + 1))
        inside = False

    bev.setcb(writecb=write_more)
    bev.write(b"0")
    base.dispatch()
    turn = ["written", ("wait", 0)]
    assert log[log.index("written") :] == [*turn * 4, "written"]
    assert [peer.recv(10) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_close_discards_what_is_not_written(streams, waiting):
    bev, peer = streams.pair()

    def write_and_close(bev, arg):
        bev.write(b"never sent")
        bev.close()

    bev.setcb(write_and_close)
    bev.enable(EV_READ)
    peer.send(b"x")
    streams.run_ready()
    assert streams.receive(peer, 1) == b""


def test_output_waits_for_enable_and_then_goes(streams, base, waiting):
    bev, peer = streams.pair()

    def disabled(bev, arg):
        bev.disable(EV_WRITE)
        bev.write(b"held")

    bev.setcb(disabled)
    bev.trigger(EV_READ)
    base.dispatch()  # nothing to do for now
    assert waiting(peer) == b""
    bev.enable(EV_WRITE)
    base.dispatch()
    assert waiting(peer) == b"held"


def test_requests_that_are_ready_together_are_answered_before_the_next_wait(streams, base, waiting):
    peers = []
    for i in range(50):
        bev, peer = streams.pair()
        bev.setcb(lambda bev, arg: bev.write(bev.read(100)))
        bev.enable(EV_READ)
        peer.send(b"%d" % i)
        peers.append(peer)
    log = streams.before_waits(lambda timeout: [waiting(peer) for peer in peers])
    streams.run_ready()
    assert log == [[b""] * 50, [b"%d" % i for i in range(50)]]
