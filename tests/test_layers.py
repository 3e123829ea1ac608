"""The C core's layers: base <- {buf, loop} <- stream <- {dns, http}, and nothing upwards.

Every include in quotes names the layer it reaches for, so the direction can be read off the lines.
Headers of event2/ are the interface of all layers and may be included anywhere.
"""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
SEES = {
    "include": {"event2"},
    "base": {"event2", "base"},
    "buf": {"event2", "base", "buf"},
    "loop": {"event2", "base", "loop"},
    "stream": {"event2", "base", "buf", "loop", "stream"},
    "dns": {"event2", "base", "buf", "loop", "stream", "dns"},
    "http": {"event2", "base", "buf", "loop", "stream", "http"},
}
QUOTED = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
ANY = re.compile(r"^\s*#\s*include\s+[<\"]([^>\"]+)", re.MULTILINE)
FILES = sorted(CSRC.glob("**/*.[ch]"))


def upward(layer, text):
    """The includes of a file of this layer that its layer may not see."""
    return [name for name in QUOTED.findall(text) if name.split("/")[0] not in SEES[layer]]


def test_there_is_a_core_to_look_at():
    assert {path.relative_to(CSRC).parts[0] for path in FILES} >= {"base", "buf", "loop"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CSRC)))
def test_includes_point_down(path):
    layer = path.relative_to(CSRC).parts[0]
    assert upward(layer, path.read_text()) == []


def test_an_upward_include_is_noticed():
    text = '#include "base/mem.h"\n#  include "stream/listener.h"\n#include "event.h"\n'
    assert upward("buf", text) == ["stream/listener.h", "event.h"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CSRC)))
def test_the_core_does_not_know_python(path):
    assert "Python.h" not in ANY.findall(path.read_text())
