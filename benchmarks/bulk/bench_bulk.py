"""Bulk: what echoing large blocks costs, on pyevent and on its peers.

    python benchmarks/bulk/bench_bulk.py [--rounds 7] [--json FILE] [--only NAME,...]
                                         [--sizes 102400,10485760] [--connections 8]

One server at a time on the first processor, the client on the last. Medians over the rounds of
server processor time for each MiB echoed, and MiB a second beside it.
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
    save,
    serve_and_load,
    summary,
)


def servers(build):
    """Name -> command, of all that can run here; the bare loop first."""
    source = ["bulk/bufferevent.c"]
    found = {"bare": compile_c(["bulk/bare_epoll.c"], build / "bare")}
    if CORE.exists():
        found["pyevent-c"] = compile_c(source, build / "pyevent-c", *PYEVENT_C)
    add_if_it_compiles(found, "libevent-c", source, build / "libevent-c", "-levent")
    for name in ("pyevent", "rloop", "uvloop", "asyncio", "gevent"):
        if has(name):
            found[name] = python("bulk/echo_server.py", name)
    return found


def one_run(command, load):
    result = serve_and_load(command, load)
    result["us_per_mib"] = result.pop("cpu_ns") / 1000 / result["mib"]
    result["mib_per_second"] = result["mib"] / result["seconds"]
    return result


def measure(rounds, sizes, connections=8, warmup=300, duration=1000, only=None):
    """A list of cases, one for each size of the blocks."""
    cases = []
    with tempfile.TemporaryDirectory() as build:
        found = servers(Path(build))
        client = compile_c(["bulk/client.c"], Path(build) / "client")
        for size in sizes:
            load = [*client, "PORT", *map(str, (connections, size, warmup, duration))]
            jobs = {
                name: lambda c=command, to=load: one_run(c, to)
                for name, command in found.items()
                if only is None or name in only or name == "bare"
            }
            table = summary(alternate(rounds, jobs), "us_per_mib", "bare")
            cases.append({"connections": connections, "size": size, "servers": table})
            print_case(cases[-1])
    return cases


def print_case(case):
    print(f"\nblocks of {case['size'] / 1024:.0f} KiB, {case['connections']} connections "
          f"(load average {os.getloadavg()[0]:.1f})")  # fmt: skip
    print(f"{'server':12} {'CPU us/MiB':>11} {'x bare':>7} {'low-high':>12} {'MiB/s':>8}")
    for name, row in case["servers"].items():
        print(f"{name:12} {row['us_per_mib']:11.1f} {row['ratio']:7.2f} "
              f"{row['ratio_low']:5.2f}-{row['ratio_high']:5.2f} "
              f"{row['mib_per_second']:8.0f}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description="Echoes of large blocks.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", default="102400,10485760", help="bytes")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--measure", type=int, default=1000, help="milliseconds")
    parser.add_argument("--only", help="names of servers, beside bare")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else None
    sizes = [int(n) for n in options.sizes.split(",")]
    cases = measure(options.rounds, sizes, options.connections, 300, options.measure, only)
    save(options.json, {"cases": cases})


if __name__ == "__main__":
    main()
