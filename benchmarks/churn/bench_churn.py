"""Connections that live for one line: what accepting, serving and closing one costs; start-up.

    python benchmarks/churn/bench_churn.py [--rounds 7] [--json FILE]

The servers are those of bench_lines.py. Then the time that an import takes (the process alone
taken off) and the size of what is installed. Medians over the rounds.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "lines"))
from bench_lines import servers
from harness import (
    ROOT,
    alternate,
    compile_c,
    has,
    save,
    serve_and_load,
    summary,
    versions,
)

IMPORTS = {"(nothing)": "pass", "pyevent": "import pyevent", "asyncio": "import asyncio"}
IMPORTS |= {name: f"import {name}" for name in ("uvloop", "rloop", "gevent") if has(name)}


def one_run(command, load):
    result = serve_and_load(command, load)
    result["cpu_us"] = result.pop("cpu_ns") / 1000 / result["connections"]
    result["per_second"] = result["connections"] / result["seconds"]
    return result


def one_import(statement):
    """Milliseconds of processor time of a Python that runs the statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = f"import sys; sys.path[:] = {sys.path!r}\n{statement}"
    subprocess.run([sys.executable, "-S", "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"ms": (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3}


def measure_imports(rounds):
    results = alternate(rounds, {k: lambda s=v: one_import(s) for k, v in IMPORTS.items()})
    table = summary(results, "ms", "(nothing)")
    bare = table.pop("(nothing)")["ms"]
    found = {name: row["ms"] - bare for name, row in table.items()}
    print("\nimport, ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in found.items()))
    return found


def measure_wheels():
    """name -> KiB of its wheel: pyevent's is built, those of the peers here are fetched."""
    found = {}
    for name in ("pyevent", "uvloop", "rloop", "gevent"):
        if not has(name):
            continue
        what = str(ROOT) if name == "pyevent" else f"{name}=={versions()[name]}"
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, what]
            if subprocess.run(command).returncode == 0:
                found[name] = sum(f.stat().st_size for f in Path(folder).iterdir()) / 1024
    print("\nwheel, KiB: " + ", ".join(f"{name} {kib:.0f}" for name, kib in found.items()))
    return found


def measure(rounds, warmup=200, duration=700):
    """name -> figures of each server."""
    with tempfile.TemporaryDirectory() as build:
        client = compile_c(["churn/client.c"], Path(build) / "client")
        load = [*client, "PORT", str(warmup), str(duration)]
        jobs = {
            name: lambda c=command: one_run(c, load)
            for name, command in servers(Path(build)).items()
            if "streams" not in name and "readlines" not in name
        }
        table = summary(alternate(rounds, jobs), "cpu_us", "bare")
    print(f"\nconnections of one line (load average {os.getloadavg()[0]:.1f})")
    print(f"{'server':12} {'CPU us each':>12} {'x bare':>7} {'low-high':>12} {'a second':>9}")
    for name, row in table.items():
        print(f"{name:12} {row['cpu_us']:12.1f} {row['ratio']:7.2f} "
              f"{row['ratio_low']:5.2f}-{row['ratio_high']:5.2f} "
              f"{row['per_second']:9.0f}")  # fmt: skip
    return table


def main():
    parser = argparse.ArgumentParser(description="Connections that live for one line.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    figures = {"servers": measure(options.rounds)}
    figures["imports"] = measure_imports(options.rounds)
    figures["wheels"] = measure_wheels()
    save(options.json, figures)


if __name__ == "__main__":
    main()
