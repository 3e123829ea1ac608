"""All benchmarks, in alternating rounds, into benchmarks/results/*.json: what `make bench` runs.

    python benchmarks/run.py [--rounds 7] [--quick] [--only NAME,...]

Then report.py makes tables and plots of them. Half an hour on an idle machine; --quick takes
few and short rounds, to see that all runs: its figures go to build/bench.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMITTED = HERE / "results"
sys.path[:0] = [str(HERE / name) for name in ("lines", "bulk", "pipes", "timers", "churn")]

import bench_bulk  # noqa: E402
import bench_churn  # noqa: E402
import bench_lines  # noqa: E402
import bench_pipes  # noqa: E402
import bench_timers  # noqa: E402
import report  # noqa: E402
from harness import versions, write_json  # noqa: E402

LINES = [(n, depth, 64) for depth in (1, 16) for n in (1, 50, 500, 5000)]
LINES += [(50, 1, 1024), (50, 16, 1024)]


def run_lines(rounds, ms, quick):
    loads = [(1, 1, 64), (50, 16, 64)] if quick else LINES
    return {"cases": bench_lines.measure(rounds, loads, 200, ms)}


def run_bulk(rounds, ms, quick):
    return {"cases": bench_bulk.measure(rounds, (102400, 10 << 20), 8, 200, ms)}


def run_pipes(rounds, ms, quick):
    counts = (100, 1000) if quick else (100, 1000, 9000)
    return {"cases": bench_pipes.measure(rounds, counts, 10 if quick else 25)}


def run_timers(rounds, ms, quick):
    counts = (1000,) if quick else (1000, 10_000, 100_000)
    cases = bench_timers.measure(rounds, counts)
    if not quick:
        cases += bench_timers.measure(min(rounds, 3), (1_000_000,))
    return {"cases": cases}


def run_churn(rounds, ms, quick):
    found = {"servers": bench_churn.measure(rounds, 100, ms)}
    found["imports"] = bench_churn.measure_imports(rounds)
    return found | {"wheels": bench_churn.measure_wheels()}


def run_thread(rounds, ms, quick):
    found = bench_lines.measure_busy_thread(rounds, 200, ms)
    return {"servers": found}


def run_idle(rounds, ms, quick):
    args = ["--connections", "500" if quick else "5000", "--runs", str(min(rounds, 3))]
    command = [sys.executable, str(HERE / "idle.py"), *args]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(f"\n{text}", end="")
    return {"output": text}


def main():
    parser = argparse.ArgumentParser(description="All benchmarks.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--measure", type=int, default=1000, help="milliseconds for each server")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="lines,bulk,pipes,timers,churn,thread,idle")
    parser.add_argument("--results", type=Path, help="folder; without it, the committed ones")
    options = parser.parse_args()
    if options.results is None:
        options.results = HERE.parent / "build/bench" if options.quick else COMMITTED
    options.results.mkdir(parents=True, exist_ok=True)
    ms = 200 if options.quick else options.measure
    for name in options.only.split(","):
        before = os.getloadavg()[0]
        figures = {"date": time.strftime("%Y-%m-%d"), "rounds": options.rounds}
        figures |= {"versions": versions(), "load_before": round(before, 2)}
        figures |= globals()[f"run_{name}"](options.rounds, ms, options.quick)
        figures["load_after"] = round(os.getloadavg()[0], 2)
        path = options.results / f"{name}.json"
        write_json(path, figures)
        print(f"\n{path} written")
    if not options.quick and options.results.resolve() == COMMITTED:
        report.main()


if __name__ == "__main__":
    main()
