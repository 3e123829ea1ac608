"""Random calls of the Python API: run.py SECONDS [SEED]

Each seed is a process of its own. Told with its last calls is one that crashes, hangs, leaves
memory behind, or ends with a SystemError or a sanitizer's report. With SEED that one alone.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
STEPS = 400
DEADLINE = 60  # seconds for one seed


def environment():
    """Same results each time; a huge allocation fails under ASan as it does elsewhere."""
    options = "detect_leaks=0:allocator_may_return_null=1"
    given = os.environ.get("ASAN_OPTIONS")
    return dict(
        os.environ, PYTHONHASHSEED="0", ASAN_OPTIONS=f"{given}:{options}" if given else options
    )


def last_calls(progress):
    """The ring's lines in their order."""
    lines = [line.rstrip() for line in progress.read_text(errors="replace").split("\n")]
    numbered = [(int(line.split()[0]), line) for line in lines if line[:1].isdigit()]
    return [line for _, line in sorted(numbered)]


def run_seed(seed, steps=STEPS):
    """What went wrong, as text; "" is nothing."""
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder) / "progress"
        progress.touch()
        child = subprocess.Popen(
            [sys.executable, HERE / "child.py", str(seed), str(steps), str(progress)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment(),
        )
        try:
            err = child.communicate(timeout=DEADLINE)[1]
            how = f"status {child.returncode}"
        except subprocess.TimeoutExpired:
            how = f"not done after {DEADLINE} s"
            child.send_signal(6)  # faulthandler tells where it is
            try:
                err = child.communicate(timeout=10)[1]
            except subprocess.TimeoutExpired:
                child.kill()
                err = child.communicate()[1]
        if child.returncode == 0:
            return ""
        calls = last_calls(progress)
        text = err.decode(errors="replace")
        return "\n".join([f"seed {seed}: {how}", *calls, text[:6000]])


def run(seconds, first=0, most=None):
    """(seeds that were run, failures)"""
    end = time.monotonic() + seconds
    lock, state, failures = threading.Lock(), {"next": first}, []

    def work():
        while time.monotonic() < end:
            with lock:
                seed = state["next"]
                if most is not None and seed - first >= most:
                    return
                state["next"] += 1
            failure = run_seed(seed)
            if failure:
                failures.append(failure)

    with ThreadPoolExecutor(2) as pool:
        for worker in [pool.submit(work) for _ in range(2)]:
            worker.result()
    return state["next"] - first, failures


def main():
    if len(sys.argv) > 2 and sys.argv[2]:
        failure = run_seed(int(sys.argv[2]))
        print(failure or f"seed {sys.argv[2]}: nothing")
        return bool(failure)
    seeds, failures = run(float(sys.argv[1]))
    for failure in failures:
        print(failure, "-" * 60, sep="\n")
    print(f"{seeds} seeds, {len(failures)} failed; SEED=n runs one alone")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
