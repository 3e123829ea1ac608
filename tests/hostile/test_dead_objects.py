"""Objects that were never opened, are closed, or have lost what they stood on: all refuse."""

import pytest

from .runner import assert_none, run


@pytest.mark.deadline(900)
def test_dead_objects_refuse_all_but_being_closed_and_looked_at():
    failures, calls = run("dead", ["all"])
    assert calls > 3000
    assert_none(failures, calls)
