"""docs/semantics.md names tests that exist, at least one for each point."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs/semantics.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="installed without the documentation")


def rows():
    lines = PAGE.read_text().splitlines()
    return [cells for line in lines if re.match(r"\| [A-Z]\d", line) for cells in [line.split("|")]]


def test_every_point_is_there_once_and_in_order():
    points = [cells[1].strip() for cells in rows()]
    ends = {"A": (1, 30), "B": (31, 39), "C": (40, 52), "D": (53, 66), "E": (68, 70)}
    assert points == [f"{name}{i}" for name, (a, b) in ends.items() for i in range(a, b + 1)]


@pytest.mark.parametrize("cells", rows() if PAGE.exists() else [], ids=lambda c: c[1].strip())
def test_the_tests_of_a_point_exist(cells):
    named = re.findall(r"`([\w/.]+)::(\w+)`", cells[3])
    assert named
    for path, name in named:
        text = (TESTS / path).read_text()
        defined = rf"^(?:def {name}\(|TEST\w*\({name}\))"
        assert re.search(defined, text, re.MULTILINE), f"{path} has no {name}"
