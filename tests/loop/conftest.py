"""What the tests of the loop share: a base per backend, and Python in a process of its own."""

import os
import signal
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
        command = [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, args)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, **pipes, text=True, start_new_session=True) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                # It and its children; with -X dev they show where every thread is.
                os.killpg(process.pid, signal.SIGABRT)
                out, err = process.communicate()
        assert process.returncode == status, f"{process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    return run
