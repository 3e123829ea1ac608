"""Callbacks within callbacks, and filters over filters: none overflows the stack."""

import gc
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


def test_thousands_of_connections_in_a_chain_of_arguments_are_dropped(base):
    bev = None
    for _ in range(20_000):
        held = BufferEvent(base)
        held.setcb(arg=bev)
        bev = held
    gone = weakref.ref(bev)
    del bev, held
    assert gone() is None
