"""What a process has, before and after calls."""

import gc
import logging
import os
import sys
import time
import warnings

from world import MAKERS, World

import pyevent


def descriptors():
    return len(os.listdir("/dev/fd"))


class Ledger:
    """What the process has before the calls; `difference()` after each should be empty."""

    def __init__(self):
        for _ in range(2):
            w = World()
            for name in MAKERS:
                w[name]
            w.turn()
            w.end()
            del w
        gc.collect()
        gc.freeze()
        self.start()

    def start(self):
        pyevent.Buffer().close()
        self.allocations, self.open = pyevent.live_allocations(), descriptors()

    def difference(self):
        """As text; the next difference is to what is there now."""
        for attempt in range(40):
            gc.collect()
            pyevent.Buffer().close()  # the last buffer of this thread: it keeps no segments
            now = pyevent.live_allocations()
            if now == self.allocations and descriptors() == self.open:
                return ""
            if attempt > 2:  # a lookup ends in a thread of its own
                time.sleep(0.005)
        more = {k: n - self.allocations[k] for k, n in now.items() if n != self.allocations[k]}
        text = f"left behind: {more}" if more else ""
        if descriptors() != self.open:
            text += f" {descriptors() - self.open} descriptors"
        self.start()
        return text


def quiet():
    """Nothing that is only told ends up as an error; a SystemError is kept."""
    warnings.simplefilter("ignore")
    logging.getLogger("pyevent").addHandler(logging.NullHandler())
    logging.getLogger("pyevent").propagate = False
    kept = []

    def told(unraisable):
        if isinstance(unraisable.exc_value, SystemError):
            kept.append(f"unraisable {unraisable.exc_value!r} in {unraisable.object!r}")

    sys.unraisablehook = told
    return kept
