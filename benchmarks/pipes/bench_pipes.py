"""The classic pipe benchmark: what a loop costs as the number of idle pipes grows.

    python benchmarks/pipes/bench_pipes.py [--rounds 7] [--json FILE] [--pipes 100,1000,9000]

In C over libevent's names (libevent, pyevent's core), libev, libuv and bare epoll; in Python
over pyevent, asyncio and uvloop. Medians over the rounds of microseconds of processor
time, of the loop, of re-adding all events, and of the first pass of the loop after that.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import (
    CORE,
    PYEVENT_C,
    add_if_it_compiles,
    alternate,
    compile_c,
    has,
    python,
    run_json,
    save,
    summary,
)

ACTIVE, WRITES = 100, 1000


def programs(build):
    """Name -> command without its arguments, of all that can run here."""
    main = "pipes/pipes.c"
    found = {"bare": compile_c([main, "pipes/on_epoll.c"], build / "bare")}
    if CORE.exists():
        found["pyevent-c"] = compile_c([main, "pipes/on_event2.c"], build / "p", *PYEVENT_C)
    add_if_it_compiles(found, "libevent-c", [main, "pipes/on_event2.c"], build / "le", "-levent")
    add_if_it_compiles(found, "libev-c", [main, "pipes/on_libev.c"], build / "ev", "-lev")
    add_if_it_compiles(found, "libuv-c", [main, "pipes/on_libuv.c"], build / "uv", "-luv")
    found["pyevent"] = python("pipes/pipes.py", "pyevent")
    found["asyncio"] = python("pipes/pipes.py", "asyncio")
    if has("uvloop"):
        found["uvloop"] = python("pipes/pipes.py", "uvloop")
    return found


def measure(rounds, counts, runs=25):
    """A list of cases, one for each number of pipes."""
    cases = []
    with tempfile.TemporaryDirectory() as build:
        found = programs(Path(build))
        for count in counts:
            args = [str(x) for x in (count, min(ACTIVE, count), WRITES, runs)]
            jobs = {
                name: lambda c=command, a=args: run_json([*c, *a])
                for name, command in found.items()
            }
            table = summary(alternate(rounds, jobs), "loop_us", "bare")
            cases.append({"pipes": count, "active": ACTIVE, "writes": WRITES, "programs": table})
            print_case(cases[-1])
    return cases


def print_case(case):
    print(f"\n{case['pipes']} pipes, {ACTIVE} active, {WRITES} writes "
          f"(load average {os.getloadavg()[0]:.1f})")  # fmt: skip
    print(f"{'':12} {'loop us':>10} {'x bare':>7} {'low-high':>12} {'re-add us':>10} "
          f"{'first us':>10}")  # fmt: skip
    for name, row in case["programs"].items():
        print(f"{name:12} {row['loop_us']:10.0f} {row['ratio']:7.2f} "
              f"{row['ratio_low']:5.2f}-{row['ratio_high']:5.2f} "
              f"{row['add_us']:10.1f} {row['first_us']:10.0f}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description="The classic pipe benchmark.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pipes", default="100,1000,9000")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    cases = measure(options.rounds, [int(n) for n in options.pipes.split(",")])
    save(options.json, {"cases": cases})


if __name__ == "__main__":
    main()
