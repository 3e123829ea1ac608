"""Python code that runs in the middle of a call closes, replaces or changes what the call is about.

Any exception or success is right; the process lives, the base closes, and nothing is left behind.
"""

import pytest

from .runner import assert_none, run

PARTS = 8


@pytest.mark.deadline(1800)
@pytest.mark.parametrize("where", ["arguments", "callbacks"])
def test_nothing_breaks_whatever_happens_in_the_middle_of_a_call(where):
    failures, calls = run(where, [f"{part}/{PARTS}" for part in range(PARTS)])
    assert calls > 10_000
    assert_none(failures, calls)
