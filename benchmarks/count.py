"""Instructions and system calls for a message, which no clock disturbs: `make bench-count`.

    python benchmarks/count.py [--write]

A ROT13 line server of one connection, PYTHONHASHSEED=0. Instructions: callgrind counts those
inside event_base_loop for two numbers of messages; their difference leaves out all that happens
once. System calls: strace is attached to a server that is warm already. Both are compared with
benchmarks/results/count.json; more than a tenth above is a failure. --write commits to new ones.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMMITTED = HERE / "results/count.json"
TOLERANCE = 1.10
WARM, MORE = 200, 1000
ROUND_TRIPS = 200


def collected(out, depth, rounds):
    """Instructions inside the loop of a process that makes so many round trips."""
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=event_base_loop",
               f"--callgrind-out-file={out}", sys.executable, str(HERE / "count_server.py"),
               str(depth), str(rounds)]  # fmt: skip
    env = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, check=True, env=env, capture_output=True, text=True)
    return int(re.search(r"Collected\s*:\s*(\d+)", done.stderr)[1])


def instructions(depth):
    """For each message; `depth` lines come together."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        many = collected(out, depth, WARM + MORE)
        return (many - collected(out, depth, WARM)) / (MORE * depth)


def exchange(sock, data):
    sock.sendall(data)
    left = len(data)
    while left:
        left -= len(sock.recv(left))


def is_traced(pid):
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def calls_of(trace):
    return re.findall(r"^\w+\(", trace.read_text(), flags=re.M) if trace.exists() else []


def system_calls(depth):
    """For each message: strace sees ROUND_TRIPS round trips of a server that is warm."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "lines/pyevent_server.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        data = (b"x" * 63 + b"\n") * depth
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for _ in range(WARM):
                exchange(sock, data)
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out"
                command = ["strace", "-qq", "-o", str(out), "-p", str(server.pid)]
                with subprocess.Popen(command) as trace:
                    while not is_traced(server.pid):
                        exchange(sock, data)
                    before = len(calls_of(out))
                    for _ in range(ROUND_TRIPS):
                        exchange(sock, data)
                    trace.send_signal(signal.SIGINT)
                return (len(calls_of(out)) - before) / (ROUND_TRIPS * depth)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def measure():
    found = {}
    for depth in (1, 16):
        found[f"instructions, depth {depth}"] = round(instructions(depth), 1)
        found[f"system calls, depth {depth}"] = round(system_calls(depth), 2)
    return found


def main():
    parser = argparse.ArgumentParser(description="Instructions and system calls for a message.")
    parser.add_argument("--write", action="store_true", help="commit to these figures")
    options = parser.parse_args()
    missing = [tool for tool in ("valgrind", "strace") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"make bench-count needs {' and '.join(missing)}; Debian has them as packages")
    python = ".".join(platform.python_version_tuple()[:2])
    committed = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    before, now = committed.get(python, {}), measure()
    for name, figure in now.items():
        compared = f"{figure / before[name] - 1:+7.1%}" if name in before else "    new"
        print(f"{name:24} {figure:9.2f} {compared}")
    if options.write:
        COMMITTED.write_text(json.dumps(committed | {python: now}, indent=1, sort_keys=True) + "\n")
        return 0
    if not before:
        print(f"nothing to compare with: there are no committed figures for Python {python}")
        return 1
    return int(any(now[name] > limit * TOLERANCE for name, limit in before.items()))


if __name__ == "__main__":
    sys.exit(main())
