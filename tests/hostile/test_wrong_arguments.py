"""Every public callable with wrong arguments in each place: refused or taken, never a crash."""

import pytest

from .runner import assert_none, run

PARTS = 8


@pytest.mark.deadline(900)
def test_wrong_arguments_are_refused_or_taken_and_the_objects_still_close():
    failures, calls = run("flat", [f"{part}/{PARTS}" for part in range(PARTS)])
    assert calls > 10_000
    assert_none(failures, calls)
