"""What the page on buffers shows is what happens."""

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/buffer.md"


@pytest.mark.skipif(not PAGE.exists(), reason="not in a source tree")
def test_examples_of_the_page_are_true():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried >= 15
    assert failed == 0
