"""Many simultaneous connections that echo, with clients that fail in every way clients do.

Nothing is lost, nothing comes in another order, and nothing is left when they are gone. A thousand
connections; `make stress` takes ten thousand, `make stress-san` a thousand under ASan.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import Client, Server

HERE = Path(__file__).parent
SERVE = HERE.parent / "examples/serve.py"
CONNECTIONS = 10_000 if os.environ.get("PYEVENT_STRESS") else 1000
IS_SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")  # which keeps freed memory for long
PROCESSES = 2  # of clients; each has hundreds of connections
WARM_UP, ROUNDS = 2, 5
MIB = 1 << 20
POOL_MAX = 1 + MIB // 65536

pytestmark = [
    pytest.mark.slow,
    pytest.mark.deadline(900),
    pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine, /proc"),
    pytest.mark.skipif(
        resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CONNECTIONS + 100,
        reason=f"{CONNECTIONS} connections need a higher hard limit of open files (ulimit -Hn)",
    ),
]


@pytest.fixture
def server():
    """The echo server, warmed up."""
    command = [sys.executable, str(SERVE), str(HERE / "echo_server.py")]
    with contextlib.closing(Server(command)) as running:
        with running.connect() as sock:
            sock.sendall(b"hello")
            assert Client.receive(sock, 5) == b"hello"
            running.idle_fds = running.fds() - 1
        running.wait_until_idle()
        yield running
        running.stop()


def crowd(server, seed):
    """All clients at once, until the last is gone: what became of how many."""
    count = CONNECTIONS // PROCESSES
    with contextlib.ExitStack() as stack:
        clients = []
        for i in range(PROCESSES):
            numbers = map(str, (server.port, count, seed * PROCESSES + i))
            client = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(HERE / "echo_clients.py"), server.host, *numbers],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(client.kill)
            clients.append(client)
        for client in clients:
            assert client.stdout.readline() == "connected\n"
        server.wait_for_fds(server.idle_fds + CONNECTIONS)  # all at the same time
        for client in clients:
            client.stdin.write("go\n")
            client.stdin.flush()
        results = [json.loads(client.stdout.readline()) for client in clients]
    server.wait_until_idle()
    return {key: sum((one[key] for one in results), type(results[0][key])()) for key in results[0]}


def live_allocations(server):
    server.send_signal(signal.SIGUSR1)
    return json.loads(server.read_line())


def test_faulty_crowds_lose_nothing_and_leave_nothing(server):
    total = 0
    for seed in range(WARM_UP + ROUNDS):
        if seed == WARM_UP:
            blocks, dirty = live_allocations(server), server.private_dirty()
        result = crowd(server, seed)
        assert result["errors"] == []
        total += result.pop("bytes")
        shares = {"whole": 60, "half": 14, "trickle": 14, "reset": 10, "mute": 2}
        assert result == {
            "errors": [],
            **{fate: share * CONNECTIONS // 100 for fate, share in shares.items()},
        }
    grown = server.private_dirty() - dirty
    print(f"{total} bytes came back over {CONNECTIONS} connections at a time")
    print(f"Private_Dirty: {dirty} bytes after {WARM_UP} rounds, {grown:+} after {ROUNDS} more")
    print(f"live allocations: {blocks}")
    left = live_allocations(server)
    # Of emptied blocks the pool of segments keeps up to 1 MiB, of 64 KiB at least each: how
    # many depends on who came when.
    assert left.pop("pool") <= POOL_MAX
    assert blocks.pop("pool") <= POOL_MAX
    assert left == blocks
    if not IS_SANITIZED:
        assert grown < MIB
