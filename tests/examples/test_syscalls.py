"""What a request costs in system calls: wait, receive, send, and nothing else.

The servers run as their users run them, and strace counts what they ask of the kernel while one
client sends one line after the other. docs/design/loop.md has the table.
"""

import contextlib
import re
import shutil
import subprocess
import tempfile

import pytest

REQUESTS = 10_000
LINE = b"The quick brown fox jumps over the lazy dog\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]


@contextlib.contextmanager
def counted(pid):
    """A dict that has, after the block, how often the process made which system call."""
    counts = {}
    with tempfile.NamedTemporaryFile("r") as summary:
        strace = subprocess.Popen(
            ["strace", "-c", "-f", "-p", str(pid), "-o", summary.name],
            stderr=subprocess.PIPE,
            text=True,
        )
        with strace:
            first = strace.stderr.readline()
            if "attached" not in first:
                strace.wait()
                pytest.skip(f"strace may not trace processes here: {first.strip()}")
            try:
                yield counts
            finally:
                strace.terminate()  # it writes its summary, and the process goes on
        for line in summary:
            fields = line.split()
            if len(fields) >= 5 and re.fullmatch(r"[\d.]+", fields[0]) and fields[-1] != "total":
                counts[fields[-1]] = int(fields[3])
    assert counts, "strace has counted nothing"


def cost(server, client):
    """System calls per request, in all and by name."""
    with server.connect() as sock:
        client.ask(sock, LINE)
        with counted(server.pid) as counts:
            for _ in range(REQUESTS):
                client.ask(sock, LINE)
    return sum(counts.values()) / REQUESTS, {
        name: f"{count / REQUESTS:.4f}" for name, count in sorted(counts.items())
    }


def test_a_request_costs_three_system_calls(launch, client):
    if launch.name in ("fork", "busy_poll", "select"):
        pytest.skip("not on our loop; examples/README.md says what these cost")
    each, by_name = cost(launch(), client)
    print(f"{launch.name}: {each:.4f} system calls a request, {by_name}")
    if launch.name == "libevent":
        assert each > 3.05  # else the comparison in loop.md is out of date
    else:
        assert each <= 3.05, by_name
