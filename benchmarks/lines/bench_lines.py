"""ROT13 lines over TCP: what a message costs, on pyevent and on its peers.

    python benchmarks/lines/bench_lines.py [--rounds 7] [--json FILE] [--only NAME,...]
                                           [--connections 50] [--depth 1] [--size 64]

One server at a time on the first processor, the client on the last; every round runs all
servers in turn. Printed are medians over the rounds: server CPU per message (from
/proc/PID/task/*/schedstat), its ratio to the bare epoll loop's with the spread of the ratios
of single rounds, throughput, and latency. uvloop, rloop and gevent take part where they are
installed, libevent where libevent-dev is.
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
    versions,
)


def servers(build):
    """Name -> command, of all that can run here; the bare loop first."""
    source = ["lines/bufferevent.c"]
    found = {"bare": compile_c(["lines/bare_epoll.c"], build / "bare")}
    if CORE.exists():
        found["pyevent-c"] = compile_c(source, build / "pyevent-c", *PYEVENT_C)
    add_if_it_compiles(found, "libevent-c", source, build / "libevent-c", "-levent")
    found["pyevent"] = python("lines/pyevent_server.py", "readln")
    found["pyevent-readlines"] = python("lines/pyevent_server.py", "readlines")
    for name in ("rloop", "uvloop", "asyncio"):
        if has(name):
            found[name] = python("lines/asyncio_server.py", name)
    for name in ("uvloop", "asyncio"):
        if name in found:
            found[f"{name}-streams"] = python("lines/asyncio_server.py", name, "streams")
    if has("gevent"):
        found["gevent"] = python("lines/gevent_server.py")
    return found


def one_run(command, load):
    result = serve_and_load(command, load)
    if result["messages"] == 0:
        raise RuntimeError(f"no answer in the measured time from {command}")
    result["cpu_us"] = result.pop("cpu_ns") / 1000 / result["messages"]
    result["per_second"] = result["messages"] / result["seconds"]
    return result


def measure(rounds, loads, warmup=300, duration=1000, only=None):
    """A list of cases, one for each (connections, depth, size) of `loads`."""
    cases = []
    with tempfile.TemporaryDirectory() as build:
        found = servers(Path(build))
        client = compile_c(["lines/client.c"], Path(build) / "client")
        for count, depth, size in loads:
            # Many connections take time to come into step.
            times = (max(warmup, count // 3), max(duration, count // 5))
            load = [*client, "PORT", *map(str, (count, depth, size, *times))]
            jobs = {
                name: lambda c=command, to=load: one_run(c, to)
                for name, command in found.items()
                if only is None or name in only or name == "bare"
            }
            table = summary(alternate(rounds, jobs), "cpu_us", "bare")
            cases.append({"connections": count, "depth": depth, "size": size, "servers": table})
            print_case(cases[-1])
    return cases


def measure_busy_thread(rounds, warmup=300, duration=1000):
    """One connection, while another thread of the server computes, or none does."""
    commands = {"no other thread": python("lines/pyevent_server.py", "readln")}
    for interval in ("0.005", "0.0005"):
        name = f"another computes, switch interval {float(interval) * 1000:g} ms"
        commands[name] = python("lines/pyevent_server.py", "readln", interval)
    with tempfile.TemporaryDirectory() as build:
        client = compile_c(["lines/client.c"], Path(build) / "client")
        load = [*client, "PORT", "1", "1", "64", str(warmup), str(duration)]
        jobs = {name: lambda c=command: one_run(c, load) for name, command in commands.items()}
        table = summary(alternate(rounds, jobs), "p50_us", "no other thread")
    for name, row in table.items():
        print(f"{name:45} p50 {row['p50_us']:9.1f} us, p99 {row['p99_us']:9.1f} us")
    return table


def print_case(case):
    print(f"\n{case['connections']} connections, depth {case['depth']}, {case['size']} bytes "
          f"(load average {os.getloadavg()[0]:.1f})")  # fmt: skip
    print(f"{'server':20} {'CPU us/msg':>10} {'x bare':>7} {'low-high':>12} "
          f"{'msg/s':>9} {'p50 us':>9} {'p99 us':>9}")  # fmt: skip
    for name, row in case["servers"].items():
        print(
            f"{name:20} {row['cpu_us']:10.2f} {row['ratio']:7.2f} "
            f"{row['ratio_low']:5.2f}-{row['ratio_high']:5.2f} {row['per_second']:10.0f} "
            f"{row['p50_us']:9.1f} {row['p99_us']:9.1f}"
        )


def main():
    parser = argparse.ArgumentParser(description="ROT13 lines over TCP, pyevent and peers.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", default="1,50,500")
    parser.add_argument("--depth", default="1,16")
    parser.add_argument("--size", default="64")
    parser.add_argument("--warmup", type=int, default=300, help="milliseconds")
    parser.add_argument("--measure", type=int, default=1000, help="milliseconds")
    parser.add_argument("--only", help="names of servers, beside bare")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in versions().items()))
    loads = [
        (count, depth, size)
        for size in map(int, options.size.split(","))
        for depth in map(int, options.depth.split(","))
        for count in map(int, options.connections.split(","))
    ]
    only = options.only.split(",") if options.only else None
    cases = measure(options.rounds, loads, options.warmup, options.measure, only)
    save(options.json, {"cases": cases})


if __name__ == "__main__":
    main()
