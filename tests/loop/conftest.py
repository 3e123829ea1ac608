"""What the tests of the loop share: a base per backend, and Python in a process of its own."""

import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def base(backend, no_leaked_fds):
    """An open base whose dispatch() raises what a callback raises."""
    import pyevent

    with pyevent.EventBase(backend=backend, exception_handler=pyevent.RAISE) as base:
        yield base


@pytest.fixture
def run_python():
    """Runs code in a Python of its own; fails unless it ends well. Gives its CompletedProcess."""

    def run(code, *args, options=("-X", "dev"), status=0, timeout=30):
        done = subprocess.run(
            [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
