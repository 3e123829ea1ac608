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
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CFLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2"]


def compile_c(name, target, *flags):
    command = [os.environ.get("CC", "gcc"), *CFLAGS, str(HERE / name), "-o", str(target), *flags]
    subprocess.run(command, check=True)
    return [str(target)]


def python(name, *args):
    return [sys.executable, str(HERE / name), *args]


def servers(build):
    """Name -> command, of all that can run here; the bare loop first."""
    found = {"bare": compile_c("bare_epoll.c", build / "bare")}
    core = ROOT / "build/lib/libpyevent.a"
    if core.exists():
        flags = (f"-I{ROOT / 'csrc/include'}", str(core), "-pthread")
        found["pyevent-c"] = compile_c("bufferevent.c", build / "pyevent-c", *flags)
    with contextlib.suppress(subprocess.CalledProcessError):
        found["libevent-c"] = compile_c("bufferevent.c", build / "libevent-c", "-levent")
    found["pyevent"] = python("pyevent_server.py", "readln")
    found["pyevent-readlines"] = python("pyevent_server.py", "readlines")
    for name in ("rloop", "uvloop", "asyncio"):
        if name == "asyncio" or importlib.util.find_spec(name):
            found[name] = python("asyncio_server.py", name)
    for name in ("uvloop", "asyncio"):
        if name in found:
            found[f"{name}-streams"] = python("asyncio_server.py", name, "streams")
    if importlib.util.find_spec("gevent"):
        found["gevent"] = python("gevent_server.py")
    return found


def cpu_ns(pid):
    """Processor time of all threads so far."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(path.read_text().split()[0])
    return total


def pinned(command, cpu):
    return ["taskset", "-c", str(cpu), *command] if shutil.which("taskset") else command


def measure(command, client, options):
    """One run of one server: a dict of what came out."""
    cpus = sorted(os.sched_getaffinity(0))
    server = subprocess.Popen(pinned(command, cpus[0]), stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        port = re.search(r":(\d+)$", line.strip())[1]
        load = pinned([*client, port, *map(str, options)], cpus[-1])
        with subprocess.Popen(load, stdout=subprocess.PIPE, text=True) as process:
            if process.stdout.readline() != "begin\n":
                raise RuntimeError(f"the client has failed with {command}")
            before = cpu_ns(server.pid)
            line = process.stdout.readline()
            after = cpu_ns(server.pid)
        if process.returncode != 0:
            raise RuntimeError(f"the client has failed with {command}")
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    result = json.loads(line)
    result["cpu_us"] = (after - before) / 1000 / result["messages"]
    result["per_second"] = result["messages"] / result["seconds"]
    return result


def summary(rounds):
    """name -> medians and ratios, of a list of {name: result}."""
    table = {}
    for name in rounds[0]:
        runs = [results[name] for results in rounds]
        row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        ratios = sorted(r[name]["cpu_us"] / r["bare"]["cpu_us"] for r in rounds)
        row["ratio"] = row["cpu_us"] / statistics.median(r["bare"]["cpu_us"] for r in rounds)
        row["ratio_low"], row["ratio_high"] = ratios[0], ratios[-1]
        table[name] = row
    return table


def print_table(title, table):
    print(f"\n{title}")
    print(f"{'server':20} {'CPU us/msg':>10} {'x bare':>7} {'low-high':>12} "
          f"{'msg/s':>9} {'p50 us':>9} {'p99 us':>9}")  # fmt: skip
    for name, row in table.items():
        print(
            f"{name:20} {row['cpu_us']:10.2f} {row['ratio']:7.2f} "
            f"{row['ratio_low']:5.2f}-{row['ratio_high']:5.2f} {row['per_second']:10.0f} "
            f"{row['p50_us']:9.1f} {row['p99_us']:9.1f}"
        )


def versions():
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in ("pyevent", "uvloop", "rloop", "gevent"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    with open("/proc/cpuinfo") as lines:
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    found["processor"] = f"{models[0]} ({len(models)} here)" if models else platform.machine()
    return found


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
    figures = {"versions": versions(), "cases": []}
    with tempfile.TemporaryDirectory() as build:
        found = servers(Path(build))
        if options.only:
            wanted = {"bare", *options.only.split(",")}
            found = {name: command for name, command in found.items() if name in wanted}
        client = compile_c("client.c", Path(build) / "client")
        for size in map(int, options.size.split(",")):
            for depth in map(int, options.depth.split(",")):
                for count in map(int, options.connections.split(",")):
                    load = (count, depth, size, options.warmup, options.measure)
                    rounds = [
                        {name: measure(command, client, load) for name, command in found.items()}
                        for _ in range(options.rounds)
                    ]
                    case = {"connections": count, "depth": depth, "size": size}
                    case["servers"] = summary(rounds)
                    figures["cases"].append(case)
                    title = f"{count} connections, depth {depth}, {size} bytes"
                    print_table(f"{title} (load average {os.getloadavg()[0]:.1f})",
                                case["servers"])  # fmt: skip
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
