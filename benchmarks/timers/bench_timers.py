"""Timers: what setting, moving, cancelling and firing one costs while many are pending.

    python benchmarks/timers/bench_timers.py [--rounds 7] [--json FILE] [--counts 1000,...]

In C over libevent's names (libevent, pyevent's core) and libuv; in Python over pyevent,
asyncio and uvloop. Medians over the rounds, nanoseconds of processor time for each timer.
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
    has,
    python,
    run_json,
    save,
    summary,
)

COLUMNS = ("add_ns", "move_ns", "cancel_ns", "fire_ns", "active_ns", "add_outside_ns")


def programs(build):
    """Name -> command without its arguments, of all that can run here."""
    main = "timers/timers.c"
    found = {}
    if CORE.exists():
        add_if_it_compiles(
            found, "pyevent-c", [main, "timers/on_event2.c"], build / "p", *PYEVENT_C
        )
    add_if_it_compiles(found, "libevent-c", [main, "timers/on_event2.c"], build / "le", "-levent")
    add_if_it_compiles(found, "libuv-c", [main, "timers/on_libuv.c"], build / "uv", "-luv")
    found["pyevent"] = python("timers/timers.py", "pyevent")
    found["asyncio"] = python("timers/timers.py", "asyncio")
    if has("uvloop"):
        found["uvloop"] = python("timers/timers.py", "uvloop")
    return found


def measure(rounds, counts):
    """A list of cases, one for each number of timers."""
    cases = []
    with tempfile.TemporaryDirectory() as build:
        found = programs(Path(build))
        for count in counts:
            runs = str(max(1, min(20, 100_000 // count)))
            jobs = {
                name: lambda c=command, n=count, r=runs: run_json([*c, str(n), r])
                for name, command in found.items()
            }
            table = summary(alternate(rounds, jobs), "add_ns", "libevent-c")
            cases.append({"timers": count, "programs": table})
            print_case(cases[-1])
    return cases


def print_case(case):
    print(f"\n{case['timers']} timers, ns each (load average {os.getloadavg()[0]:.1f})")
    print(f"{'':12}" + "".join(f"{column[:-3]:>12}" for column in COLUMNS))
    for name, row in case["programs"].items():
        print(f"{name:12}" + "".join(f"{row.get(column, 0):12.0f}" for column in COLUMNS))


def main():
    parser = argparse.ArgumentParser(description="What timers cost.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--counts", default="1000,10000,100000,1000000")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    cases = measure(options.rounds, [int(n) for n in options.counts.split(",")])
    save(options.json, {"cases": cases})


if __name__ == "__main__":
    main()
