"""Many simultaneous clients: every byte comes back, and nothing is left when they are gone.

`make stress` runs the same with more of everything.
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

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
IS_STRESS = bool(os.environ.get("PYEVENT_STRESS"))
CONNECTIONS, LINES, ROUNDS = (5000, 200, 20) if IS_STRESS else (2000, 50, 5)
PROCESSES = 2  # of clients
MIB = 1 << 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.deadline(1200 if IS_STRESS else 120),
    pytest.mark.skipif(
        resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CONNECTIONS + 100,
        reason=f"{CONNECTIONS} connections need a higher hard limit of open files (ulimit -Hn)",
    ),
]


@pytest.fixture(params=["rot13_bufferevent.py", "rot13_events.py"])
def served(request, server_of):
    """An example's server, in serve.py, warmed up."""
    with contextlib.closing(
        server_of([sys.executable, str(HERE / "serve.py"), str(EXAMPLES / request.param)])
    ) as running:
        running.warm_up()
        yield running
        running.stop()


def crowd(server, connections, lines, vanishing, seed):
    """So many clients at once, until the last is gone: what became of how many."""
    numbers = [connections // PROCESSES, lines, vanishing]
    command = [sys.executable, str(HERE / "load_client.py"), server.host, str(server.port)]
    with contextlib.ExitStack() as stack:
        clients = []
        for i in range(PROCESSES):
            client = stack.enter_context(
                subprocess.Popen(
                    [*command, *map(str, numbers), str(seed * PROCESSES + i)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(client.kill)
            clients.append(client)
        for client in clients:
            assert client.stdout.readline() == "connected\n"
        server.wait_for_fds(server.idle_fds + connections)
        for client in clients:
            client.stdin.write("go\n")
            client.stdin.flush()
        results = [json.loads(client.stdout.readline()) for client in clients]
    server.wait_until_idle()
    return {key: results[0][key] + results[1][key] for key in results[0]}


def live_allocations(server):
    server.send_signal(signal.SIGUSR1)
    return json.loads(server.read_line())


def test_simultaneous_clients_get_every_byte_back_in_order(served):
    assert crowd(served, CONNECTIONS, LINES, 0, seed=1) == {
        "answered": CONNECTIONS,
        "ended": 0,
        "reset": 0,
        "errors": [],
    }


def test_crowds_that_vanish_cost_nothing(served):
    """No memory after a warm-up, no block of the core, no descriptor, and nobody else's answer."""
    for seed in range(2):
        assert crowd(served, CONNECTIONS, LINES, 60, seed)["errors"] == []
    blocks, dirty = live_allocations(served), served.private_dirty()
    for seed in range(2, 2 + ROUNDS):
        result = crowd(served, CONNECTIONS, LINES, 60, seed)
        assert result["errors"] == []
        assert result["reset"] == result["ended"] == CONNECTIONS * 30 // 100
    grown = served.private_dirty() - dirty
    print(f"Private_Dirty: {dirty} bytes after two rounds, {grown:+} after {ROUNDS} more")
    print(f"live allocations: {blocks}")
    assert live_allocations(served) == blocks
    assert grown < MIB
