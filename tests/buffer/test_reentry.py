"""What is lent runs code when it is let go: in the middle of any change, and it may do anything."""

import sys
import weakref

import pytest

from pyevent import Buffer


class Lent(bytearray):
    """Memory that calls `then` when nobody holds it any more."""

    def __init__(self, data, then):
        super().__init__(data)
        self.then = then

    def __del__(self):
        self.then()


CHANGES = {
    "drain": lambda buf: buf.drain(),
    "remove": lambda buf: buf.remove(),
    "readln": lambda buf: buf.readln(),
    "readlines": lambda buf: buf.readlines(),
    "pullup": lambda buf: buf.pullup(5003),
    "close": lambda buf: buf.close(),
    "write": lambda buf: buf.write(1),
}

ACTIONS = {
    "close": lambda buf: buf.close(),
    "drain": lambda buf: buf.closed or buf.drain(),
    "add": lambda buf: buf.closed or buf.add(b"x" * 10_000),
    "readlines": lambda buf: buf.closed or buf.readlines(),
    "look": lambda buf: buf.closed or [bytes(view) for view in buf.peek()],
    "reserve": lambda buf: buf.closed or buf.commit(buf.reserve(100)),
    "move": lambda buf: buf.closed or Buffer().add_buffer(buf),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_code_that_runs_in_a_change_may_change_again(change, action, socketpair):
    ran = []
    buf = Buffer(b"ab")

    def then():
        ran.append(action)
        ACTIONS[action](buf)

    buf.add_reference(Lent(b"c" * 5000 + b"\n", then))
    buf.add(b"rest\n")
    try:
        if change == "write":
            buf.write(socketpair[0])
        else:
            CHANGES[change](buf)
    except (ValueError, RuntimeError):  # closed, or changed, in the middle of a pullup
        assert change == "pullup"
    assert ran == [action]
    if not buf.closed:
        buf.drain()
        buf.add(b"fine\n")
        assert buf.readln() == b"fine"


def test_a_line_is_whole_although_its_buffer_is_closed_meanwhile():
    buf = Buffer()
    buf.add_reference(Lent(b"c" * 5000 + b"\n", lambda: buf.close()))
    assert buf.readln() == b"c" * 5000
    assert buf.closed


def test_an_exception_in_such_code_is_reported_and_goes_nowhere(monkeypatch):
    def fail():
        raise ZeroDivisionError

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    buf = Buffer()
    buf.add_reference(Lent(b"c" * 5000, fail))
    buf.drain()
    assert reported == [ZeroDivisionError]
    assert len(buf) == 0


def test_what_is_lent_to_two_buffers_goes_with_the_last():
    lent = Lent(b"c" * 5000, lambda: None)
    gone = weakref.ref(lent)
    source, other = Buffer(), Buffer()
    source.add_reference(lent)
    del lent
    other.add_buffer_reference(source)
    source.close()
    assert gone() is not None
    assert other.remove() == b"c" * 5000
    assert gone() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only built-in types export before 3.12")
@pytest.mark.parametrize("name", ["add", "prepend", "add_reference", "search"])
def test_an_exporter_that_closes_the_buffer_is_noticed(name):
    class Exporter:
        def __buffer__(self, flags):
            buf.close()
            return memoryview(b"x")

    buf = Buffer(b"abc")
    with pytest.raises(ValueError, match="closed"):
        getattr(buf, name)(Exporter())
