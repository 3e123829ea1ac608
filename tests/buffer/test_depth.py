"""However deep things lie in each other, the stack does not grow with it."""

import functools
import gc
import operator
import sys
import threading

import pytest

from pyevent import Buffer, BufferEvent, EventBase


def in_a_stack_of(kib, function):
    """Run it in a thread with so small a stack; what it raises is raised here."""
    failed = []

    def run():
        try:
            function()
        except BaseException as exc:  # noqa: BLE001
            failed.append(exc)

    size = threading.stack_size(kib * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(size)
    thread.join()
    if failed:
        raise failed[0]


# Adds to whatever it is called with first, in C alone: Python counts no calls.
ADD = functools.partial(max, key=operator.methodcaller("add", b"x"))


def test_a_callback_in_c_that_changes_its_buffer_ends(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    buf = Buffer()
    buf.add_cb(ADD)
    buf.add(b"x")
    assert reported.count(RecursionError) == 1
    assert reported[0] is RecursionError
    assert 100 <= len(buf) < 1000
    reported.clear()
    buf.add(b"x")  # and it works as before
    assert reported[0] is RecursionError


def test_callbacks_of_several_buffers_are_counted_together(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    ring = [Buffer() for _ in range(900)]
    for i, buf in enumerate(ring):
        buf.add_cb(lambda buf, change, next: next.add(b"x"), ring[i - 1])
    ring[0].add(b"x")
    assert reported == [RecursionError]
    assert 100 <= sum(map(len, ring)) < 500


def test_callbacks_that_change_more_than_once_end_as_soon(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))

    def told(buf, change, arg):
        for _ in range(3):
            buf.add(b"x")

    buf = Buffer()
    buf.add_cb(told)
    buf.add(b"x")
    assert reported == [RecursionError]
    assert len(buf) < 1000


def test_an_exception_handler_that_changes_the_buffer_again_ends(socketpair):
    told = []

    def handler(base, context):
        told.append(type(context["exception"]))
        if not bev.closed:
            bev.output.add(b"y")

    with EventBase(exception_handler=handler) as base:
        bev = BufferEvent(base, socketpair[0])
        bev.output.add_cb(ADD)
        bev.output.add(b"x")
        assert told[0] is RecursionError
        assert len(told) < 1000
        bev.close()


def test_a_python_callback_has_python_s_own_limit(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)
    depths = []

    def told(buf, change, arg):
        depths.append(change.orig_size)
        if len(depths) < 100:
            buf.add(b"x")

    buf = Buffer()
    buf.add_cb(told)
    buf.add(b"x")
    assert depths == list(range(100))


@pytest.mark.parametrize("n", [10, 100_000])
def test_bytes_that_are_lent_from_buffer_to_buffer_are_given_back(n):
    def chain():
        last = Buffer(b"the bytes of the first")
        for _ in range(n):
            buf = Buffer()
            buf.add_reference(last.peek()[0])
            last.close()  # its bytes are kept by what looks at them
            last = buf
        assert last.copyout() == b"the bytes of the first"
        last.close()

    in_a_stack_of(512, chain)


def test_a_chain_of_buffers_is_dropped():
    def chain():
        last = None
        for _ in range(100_000):
            buf = Buffer(b"text")
            buf.add_cb(print, last)
            last = buf
        del buf
        last = None
        gc.collect()

    in_a_stack_of(4096, chain)  # Python 3.13 goes 10,000 objects deep by itself
