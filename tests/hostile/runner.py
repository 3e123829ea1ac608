"""Runs groups of hostile calls in child processes and collects what fails."""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
MOST_CRASHES = 12  # of a group; after these the rest of it is left out
SECONDS = 300  # for one group


def environment(**more):
    """Same results each time; a huge allocation fails under ASan as it does elsewhere."""
    env = dict(os.environ, PYTHONHASHSEED="0", **more)
    env["ASAN_OPTIONS"] = ":".join(
        filter(None, [env.get("ASAN_OPTIONS"), "detect_leaks=0:allocator_may_return_null=1"])
    )
    return env


def reason(status, err):
    """Why a process ended as it did: the sanitizer's line, or the last lines of stderr."""
    lines = err.decode(errors="replace").splitlines()
    for line in lines:
        if "ERROR: AddressSanitizer" in line or "runtime error:" in line:
            frames = [text.split(" in ", 1)[1] for text in lines if text.startswith("    #")]
            return f"{line.partition('ERROR: ')[2] or line}; {' < '.join(frames[:6])}"
    where = [line.strip() for line in lines if line.startswith(("Fatal", "  File", "Timeout"))]
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return f"ended with {how}: {' < '.join(where[:3]) or ' | '.join(lines[-3:])}"


def run_group(module, group):
    """(calls, failures)"""
    failures, crashed, start = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder) / "progress"
        progress.touch()
        while True:
            command = [sys.executable, HERE / "child.py", module, group, progress, start]
            command += crashed
            try:
                done = subprocess.run(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    cwd=folder,
                    timeout=SECONDS,
                    env=environment(),
                )
                status, out, err = done.returncode, done.stdout, done.stderr
            except subprocess.TimeoutExpired as late:
                status, out, err = -9, late.stdout or b"", late.stderr or b""
            told = [json.loads(line) for line in out.splitlines() if line.endswith((b'"', b"}"))]
            failures += [text for text in told if isinstance(text, str)]
            if status == 0 and told and isinstance(told[-1], dict):
                return told[-1]["calls"], failures
            number, _, label = progress.read_text().strip().partition(" ")
            failures.append(f"{label}: {reason(status, err)}")
            if not number or len(crashed) >= MOST_CRASHES:
                failures.append(f"{group}: the calls after number {number or 0} were not made")
                return int(number or 0), failures
            crashed.append(int(number))
            start = int(number) + 1


def assert_none(failures, calls):
    shown = failures[:100]
    assert not failures, f"{len(failures)} of {calls} calls:\n" + "\n".join(shown)


def run(module, groups):
    """Failures of all groups, two at a time; how many calls there were."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda group: run_group(module, group), groups))
    return [text for _, failures in results for text in failures], sum(n for n, _ in results)
