"""Callbacks within callbacks, and filters over filters: none overflows the stack."""

import gc
import threading
import weakref

import pytest

from pyevent import (
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    EventBase,
    Filter,
)

MOST = 64  # filters one over the other


def test_method_that_is_its_own_callback_ends(backend):
    failures = []

    def note(base, context):
        failures.append(context["exception"])

    with EventBase(backend=backend, exception_handler=note) as base:
        bev = BufferEvent(base)
        bev.setcb(BufferEvent.trigger, None, None, EV_READ)
        bev.trigger(EV_READ)
        bev.close()
    assert all(isinstance(one, RecursionError) for one in failures)


def stack(bev, options, n=MOST):
    for _ in range(n):
        bev = Filter(bev, options=options)
    return bev


@pytest.mark.parametrize("options", [0, BEV_OPT_CLOSE_ON_FREE])
def test_filters_stand_one_over_the_other_to_a_limit(base, options):
    bottom = BufferEvent(base)
    top = stack(bottom, options)
    with pytest.raises(RuntimeError, match="too many filters"):
        Filter(top)
    top.write(b"x")
    assert bytes(bottom.output) == b"x"
    assert top.peername is None
    assert top.fd == -1
    assert top.error is None
    top.setfd(-1)


@pytest.mark.parametrize("options", [0, BEV_OPT_CLOSE_ON_FREE])
@pytest.mark.parametrize("end", ["close", "drop", "collect", "base", "bottom", "output"])
def test_stack_of_filters_goes_in_any_order(base, options, end):
    bottom = BufferEvent(base)
    top = stack(bottom, options)
    gone = weakref.ref(top)
    middle = top.get_underlying().get_underlying()
    if end == "close":
        top.close()
    elif end == "base":
        base.close()
    elif end == "bottom":
        bottom.close()
        top.close()
    elif end == "output":
        middle.disable(0x04)
        top.write(b"waits in the middle")
        top.close()
    elif end == "collect":
        cycle = [top]
        cycle.append(cycle)
        del cycle
    del top
    gc.collect()
    assert gone() is None
    if options and end in ("close", "drop", "collect"):
        assert middle.closed
        assert bottom.closed
    del middle
    gc.collect()


def test_stack_of_filters_whose_classes_close_themselves(base):
    closed = []

    class Own(Filter):
        def close(self):
            closed.append(self)
            super().close()

    top = BufferEvent(base)
    for _ in range(MOST):
        top = Own(top, options=BEV_OPT_CLOSE_ON_FREE)
    top.close()
    assert len(closed) == MOST


@pytest.mark.parametrize("how", ["arg", "filter", "attribute", "file"])
@pytest.mark.parametrize("end", ["dropped", "closed", "collected"])
def test_chain_of_thousands_of_connections_goes_on_a_small_stack(base, how, end):
    class Own(BufferEvent):
        def fileno(self):
            return 0

    def make():
        first = bev = Own(base)
        for _ in range(20_000):
            if how == "arg":
                above = BufferEvent(base)
                above.setcb(arg=bev)
            elif how == "filter":
                above = Filter(BufferEvent(base), arg=bev, options=BEV_OPT_CLOSE_ON_FREE)
            elif how == "attribute":
                above = Own(base)
                above.next = bev
            else:
                above = Own(base, bev, options=0)
            bev = above
        if end == "collected":
            first.setcb(arg=bev)  # a cycle
        return bev, weakref.ref(first)

    def run():
        bev, gone = make()
        if end == "closed":
            bev.close()
        del bev
        if end == "collected":
            gc.collect()
        results.append(gone())

    results = []
    before = threading.stack_size(1 << 20)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert results == [None]
