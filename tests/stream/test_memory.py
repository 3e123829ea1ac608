"""What a connection costs."""

import gc
import sys

import pyevent
from pyevent import BEV_OPT_CLOSE_ON_FREE, EV_READ, BufferEvent


def test_python_object_of_a_connection_is_small(streams):
    """With the collector's header; its C struct has a static bound of its own."""
    bev, _ = streams.pair()
    assert sys.getsizeof(bev) <= 144  # Python gives memory out by 16 bytes


def test_idle_connection_is_one_object_and_one_block(streams):
    """Callbacks and a first line make no further ones: no ring, no Buffer stays."""
    lines = []

    def answer(bev, arg):
        lines.append(bev.read(100))
        bev.write(b"reply")

    def serve():
        bev, peer = streams.pair(options=BEV_OPT_CLOSE_ON_FREE)
        bev.setcb(answer, None, print)
        bev.enable(EV_READ)
        return peer

    def talk(peer):
        peer.send(b"line\n")
        assert streams.receive(peer, 5) == b"reply"

    talk(serve())
    peers = [serve() for _ in range(20)]
    gc.collect()
    before = pyevent.live_allocations()
    for peer in peers:
        talk(peer)
    assert pyevent.live_allocations() == before
    gc.collect()
    assert sum(isinstance(one, BufferEvent) for one in gc.get_objects()) == 21
    assert not any(type(one).__name__ == "Buffer" for one in gc.get_objects())
