"""Some seconds of `make fuzz-api`, without the sanitizers: the first seeds."""

import pytest

from .run import run

SECONDS = 20


@pytest.mark.deadline(200)
def test_random_calls_neither_crash_nor_hang_nor_leak():
    seeds, failures = run(SECONDS)
    assert seeds > 4
    assert not failures, "\n\n".join(failures)
