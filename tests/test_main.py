"""`python -m pyevent` prints what a bug report needs."""

import os
import platform
import re
import subprocess
import sys

import pyevent


def output(**environment):
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "pyevent"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_names_versions_system_and_build():
    text = output()
    assert f"pyevent      {pyevent.__version__}, " in text
    assert pyevent.get_version() in text
    assert f"CPython {platform.python_version()}" in text
    assert platform.system() in text
    assert re.search(r"^compiled by  .*\d+\.\d+.*, Cython 3\.\d+", text, re.MULTILINE)
    assert re.search(r"^compiled as  (not )?optimised, with(out)? assertions", text, re.MULTILINE)
    assert re.search(r"^sanitizers   \S", text, re.MULTILINE)
    assert pyevent._native.core.__file__ in text


def test_it_lists_the_backends_and_marks_the_chosen_one():
    text = output()
    rows = re.findall(r"^(\*| ) (\w+) +([A-Z0-9_ ]+); a 0.1 ms timer took [\d.]+ ms$", text, re.M)
    assert [name for _, name, _ in rows] == pyevent.backends()
    with pyevent.EventBase() as base:
        assert [name for mark, name, _ in rows if mark == "*"] == [base.method]
    for _, name, features in rows:
        with pyevent.EventBase(backend=name) as base:
            assert len(features.split()) == bin(base.features).count("1"), name


def test_it_shows_what_the_environment_changes():
    first, second, *_ = pyevent.backends()
    text = output(**{f"EVENT_NO{first.upper()}": "1"})
    assert f"environment  EVENT_NO{first.upper()}=1" in text
    assert f"* {second} " in text
    assert f"  {first} " in text
