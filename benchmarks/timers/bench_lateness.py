"""How late a timer of 1 ms is: from its deadline to its callback, in a loop with no other work.

    python benchmarks/timers/bench_lateness.py [--count 2000] [--rounds 5] [--ms 1] [--json FILE]

pyevent on each backend, and asyncio, whose loop rounds its waits. Each round sets one timer after
the other, the next from the callback of the last, and gives median and 99th percentile; shown is
the median of the rounds, in microseconds. A timer that fires early would show as negative.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import alternate, versions

import pyevent


def on_pyevent(backend, count, seconds):
    late = []
    now = time.monotonic_ns
    due = 0

    def fired(fd, what, arg):
        nonlocal due
        late.append(now() - due)
        if len(late) < count:
            due = now() + int(seconds * 1e9)
            timer.add(seconds)

    with pyevent.EventBase(backend=backend, exception_handler=pyevent.RAISE) as base:
        timer = pyevent.Event.timer(base, fired)
        due = now() + int(seconds * 1e9)
        timer.add(seconds)
        base.dispatch()
    return late


def on_asyncio(count, seconds):
    late = []
    now = time.monotonic_ns
    due = 0

    async def main():
        nonlocal due
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def fired():
            nonlocal due
            late.append(now() - due)
            if len(late) < count:
                due = now() + int(seconds * 1e9)
                loop.call_later(seconds, fired)
            else:
                done.set_result(None)

        due = now() + int(seconds * 1e9)
        loop.call_later(seconds, fired)
        await done

    asyncio.run(main())
    return late


def figures(late):
    late.sort()
    return {
        "median_us": statistics.median(late) / 1e3,
        "p99_us": late[len(late) * 99 // 100] / 1e3,
        "first_us": late[0] / 1e3,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ms", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds = options.ms / 1e3

    jobs = {
        f"pyevent-{backend}": lambda backend=backend: figures(
            on_pyevent(backend, options.count, seconds)
        )
        for backend in pyevent.backends()
    }
    jobs["asyncio"] = lambda: figures(on_asyncio(options.count, seconds))
    results = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in alternate(options.rounds, jobs).items()
    }
    print(json.dumps(versions()))
    print(f"lateness of a timer of {options.ms} ms, µs after its deadline")
    for name, row in results.items():
        print(
            f"{name:16} median {row['median_us']:8.1f}  p99 {row['p99_us']:8.1f}"
            f"  least {row['first_us']:8.1f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"versions": versions(), "results": results}))


if __name__ == "__main__":
    main()
