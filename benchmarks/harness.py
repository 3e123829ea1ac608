"""What the benchmarks share: compiling, pinning, processor time, rounds, versions."""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
CORE = ROOT / "build/lib/libpyevent.a"
COMPILER = shlex.split(os.environ.get("CC", "gcc"))  # it may be called through another program
CFLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra"]
PYEVENT_C = [f"-I{ROOT / 'csrc/include'}", str(CORE), "-pthread"]


def compile_c(sources, target, *flags):
    """The command that runs the program; CalledProcessError if it does not compile."""
    sources = [str(HERE / source) for source in sources]
    command = [*COMPILER, *CFLAGS, *sources, "-o", str(target), *flags]
    subprocess.run(command, check=True, stderr=subprocess.PIPE)
    return [str(target)]


def add_if_it_compiles(found, name, sources, target, *flags):
    """Libraries that are not installed take no part."""
    with contextlib.suppress(subprocess.CalledProcessError):
        found[name] = compile_c(sources, target, *flags)


def has(module):
    return importlib.util.find_spec(module) is not None


def processors():
    return sorted(os.sched_getaffinity(0))


def pinned(command, cpu):
    return ["taskset", "-c", str(cpu), *command] if shutil.which("taskset") else command


def cpu_ns(pid):
    """Processor time of all threads so far."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(path.read_text().split()[0])
    return total


def run_json(command, cpu=None):
    """What a program prints as its last line, which is JSON."""
    command = pinned(command, processors()[0] if cpu is None else cpu)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def serve_and_load(command, load):
    """One run of a server, which prints where it listens, under a client's load.

    "PORT" in `load` becomes its port. The client prints "begin" when the measured time begins and
    a line of JSON at its end: that, with the server's processor time between, `cpu_ns`.
    """
    cpus = processors()
    server = subprocess.Popen(pinned(command, cpus[0]), stdout=subprocess.PIPE, text=True)
    try:
        port = re.search(r":(\d+)$", server.stdout.readline().strip())[1]
        load = pinned([port if word == "PORT" else word for word in load], cpus[-1])
        with subprocess.Popen(load, stdout=subprocess.PIPE, text=True) as client:
            if client.stdout.readline() != "begin\n":
                raise RuntimeError(f"the client has failed with {command}")
            before = cpu_ns(server.pid)
            line = client.stdout.readline()
            after = cpu_ns(server.pid)
        if client.returncode != 0:
            raise RuntimeError(f"the client has failed with {command}")
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    return {**json.loads(line), "cpu_ns": after - before}


def alternate(rounds, jobs):
    """name -> list of results; every round runs all jobs in turn, a function each."""
    results = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            results[name].append(job())
    return results


def summary(results, key, base):
    """name -> medians of all figures; ratios of `key` to that of `base` by rounds."""
    table = {}
    for name, runs in results.items():
        row = {k: statistics.median(run[k] for run in runs) for k in runs[0]}
        row["low"], row["high"] = min(r[key] for r in runs), max(r[key] for r in runs)
        row["runs"] = {k: [round(run[k], 4) for run in runs] for k in runs[0]}
        if base in results:
            pairs = zip(runs, results[base], strict=True)
            ratios = sorted(run[key] / other[key] for run, other in pairs)
            row["ratio"] = row[key] / statistics.median(r[key] for r in results[base])
            row["ratio_low"], row["ratio_high"] = ratios[0], ratios[-1]
        table[name] = row
    return table


def write_json(path, figures):
    """Each list of numbers on a line of its own."""
    text = json.dumps(figures, indent=1)
    text = re.sub(r"\[[\s\d.,e+-]+\]", lambda m: " ".join(m[0].split()), text)
    Path(path).write_text(text + "\n")


def save(path, figures):
    """What a benchmark that is run by itself leaves, when it is asked to."""
    if path:
        write_json(path, {"versions": versions(), "load": os.getloadavg()[0]} | figures)


def versions():
    """What ran here."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in ("pyevent", "uvloop", "rloop", "gevent"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    for name in ("libevent", "libuv"):
        asked = ["pkg-config", "--modversion", name]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            done = subprocess.run(asked, check=True, capture_output=True, text=True)
            found[name] = done.stdout.strip()
    compiler = subprocess.run([*COMPILER, "-dumpfullversion"], capture_output=True, text=True)
    found["compiler"] = f"gcc {compiler.stdout.strip()}"
    with open("/proc/cpuinfo") as lines:
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    found["processor"] = models[0] if models else platform.machine()
    found["processors"] = len(processors())
    return found


def python(script, *args):
    return [sys.executable, str(HERE / script), *args]
