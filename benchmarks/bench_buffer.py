"""Buffer's lines against bytearray's and io.BytesIO's: 1 MiB of 64-byte lines.

Usage: python benchmarks/bench_buffer.py [rounds]

Each pair does the same work in turn, round after round, so that what else the machine does meets
both; printed are the best and the median of each in milliseconds, and how many times as fast Buffer
is by the medians (below 1: slower).
"""

import gc
import io
import os
import statistics
import sys
from time import perf_counter_ns

import pyevent

LINE = bytes(range(33, 96)).ljust(63, b".") + b"\n"
DATA = LINE * ((1 << 20) // len(LINE))
EOL = pyevent.EVBUFFER_EOL_LF


def split_bytearray(have):
    return have.split(b"\n")[:-1]


def readlines(have):
    return have.readlines(EOL)


def readline_loop(have):
    readline, count = have.readline, 0
    while readline():
        count += 1
    return count


def readln_loop(have):
    readln, count = have.readln, 0
    while readln() is not None:
        count += 1
    return count


def readline_loop_cut(have):
    """With what makes its lines those of readln."""
    readline, count = have.readline, 0
    while line := readline():
        line[:-1]
        count += 1
    return count


def iterate(have):
    count = 0
    for _line in have:
        count += 1
    return count


PAIRS = {
    "all lines at once": (
        ("bytearray.split", bytearray, split_bytearray),
        ("Buffer.readlines", pyevent.Buffer, readlines),
    ),
    "line by line, called": (
        ("BytesIO.readline", io.BytesIO, readline_loop),
        ("Buffer.readln", pyevent.Buffer, readln_loop),
    ),
    "the same lines, called": (
        ("BytesIO, end cut off", io.BytesIO, readline_loop_cut),
        ("Buffer.readln", pyevent.Buffer, readln_loop),
    ),
    "line by line, for": (
        ("for in BytesIO", io.BytesIO, iterate),
        ("for in Buffer", pyevent.Buffer, iterate),
    ),
}


def timed(make, work):
    """Milliseconds of the work; filling what is worked on does not count."""
    have = make(DATA)
    start = perf_counter_ns()
    result = work(have)
    took = perf_counter_ns() - start
    del result
    return took / 1e6


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return "unknown processor"


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 101
    print(f"pyevent {pyevent.__version__}, Python {sys.version.split()[0]}, "
          f"{processor()} x {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{rounds} rounds, milliseconds for 1 MiB of 64-byte lines")
    for name, sides in PAIRS.items():
        times = {label: [] for label, _, _ in sides}
        gc.collect()
        gc.disable()
        for turn in range(rounds):
            for label, make, work in sides if turn % 2 else sides[::-1]:
                times[label].append(timed(make, work))
        gc.enable()
        medians = [statistics.median(found) for found in times.values()]
        print(name)
        for (label, found), median in zip(times.items(), medians, strict=True):
            print(f"    {label:21} best {min(found):7.3f}   median {median:7.3f}")
        print(f"    times as fast         {medians[0] / medians[1]:.2f}")


if __name__ == "__main__":
    main()
