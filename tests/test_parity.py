"""docs/parity.md says what there is: compared with the headers and the module."""

import re
from pathlib import Path

import pytest

import pyevent
import pyevent.libevent

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| `(\w+)` \| (yes|no) \| (yes|no) \| (.+) \|$", re.MULTILINE)


def table():
    """name -> (in C, in Python, what became of it)."""
    text = (ROOT / "docs/parity.md").read_text()
    rows = ROW.findall(text)
    assert len(rows) == len({row[0] for row in rows}), "a function stands there twice"
    return {name: (c == "yes", python == "yes", note) for name, c, python, note in rows}


def declared():
    """The functions and function-like macros of event2/."""
    found = set()
    for header in (ROOT / "csrc/include/event2").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        text = re.sub(r"\(\*\s*\w+\)\s*\(", "(", text)  # types of callbacks
        found |= set(re.findall(r"^#define ((?:ev|EVUTIL_)\w+)\(", text, re.MULTILINE))
        body = re.sub(r"^#define(?:.*\\\n)*.*$", "", text, flags=re.MULTILINE)
        body = re.sub(r"\b(?:enum|struct) \w+", "", body)
        found |= set(re.findall(r"\b((?:event|ev\w*?|bufferevent|libevent)_\w+)\s*\(", body))
    return {name for name in found if not name.endswith("_")}


TABLE = table()


def test_the_table_has_every_function_of_the_headers():
    assert declared() - set(TABLE) == set()


def test_the_table_has_every_flat_name_of_the_module():
    assert set(pyevent.libevent.__all__) - set(TABLE) == set()


@pytest.mark.parametrize("name", TABLE)
def test_a_row_says_what_is_there(name):
    in_c, in_python, note = TABLE[name]
    assert in_c == (name in declared())
    assert in_python == (name in pyevent.libevent.__all__)
    if in_python:
        assert callable(getattr(pyevent, name))
    if not in_c and not in_python:
        assert re.match(r"absent: \w+", note), note
    if in_c and not in_python:
        assert "Python" in note, "why it is not in Python"
    assert "?" not in note
