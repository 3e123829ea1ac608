"""One shared object holds every compiled module and shows nothing but their entry points."""

import importlib.util
import re
import shutil
import subprocess
import sys
import textwrap
from operator import attrgetter
from pathlib import Path

import pytest

import pyevent
from pyevent import _boot
from pyevent._native import core

NAMES = ("core", *_boot.MODULES)
ROOT = Path(__file__).parent.parent


def run(code, **options):
    """The output of a Python program that has to end well and say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=50,
        **options,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed")
def test_only_module_entry_points_are_exported():
    options = ["-gU"] if sys.platform == "darwin" else ["-D", "--defined-only"]
    listing = subprocess.run(
        ["nm", *options, core.__file__], capture_output=True, text=True, check=True
    ).stdout
    symbols = {line.split()[-1].lstrip("_") for line in listing.splitlines() if line.strip()}
    assert symbols == {f"PyInit_{name.rpartition('.')[2]}" for name in NAMES}


def test_no_two_modules_end_in_the_same_name():
    """An entry point is called by the last part of a module's name."""
    ends = [name.rpartition(".")[2] for name in NAMES]
    assert len(set(ends)) == len(ends)


@pytest.mark.parametrize("name", NAMES)
def test_every_module_comes_from_the_one_file(name):
    module = sys.modules[f"pyevent._native.{name}"]
    assert module.__file__ == core.__file__
    assert module.__spec__.origin == core.__file__
    assert attrgetter(name)(pyevent._native) is module


def test_modules_can_be_imported_in_any_order():
    for name in NAMES:
        name = f"pyevent._native.{name}"
        assert run(f"import {name} as m; print(m.__name__)") == f"{name}\n"


def test_other_names_are_not_answered_for():
    assert importlib.util.find_spec("pyevent._native.nothing") is None
    assert importlib.util.find_spec("eventbase") is None


def test_reloading_the_package_leaves_one_finder():
    code = """
        import importlib, pyevent, sys
        importlib.reload(pyevent._boot)
        print(sum(type(f).__name__ == "SharedObjectFinder" for f in sys.meta_path))
    """
    assert run(code) == "1\n"


@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source tree")
def test_the_build_and_the_finder_name_the_same_modules():
    listed = re.search(r"^MODULES = (\[.*?\])", (ROOT / "setup.py").read_text(), re.M | re.S)
    assert tuple(re.findall(r'"([\w.]+)"', listed[1])) == NAMES


@pytest.mark.parametrize("first", ["main", "sub"])
def test_import_in_a_subinterpreter_is_an_import_error(first):
    """And it takes nothing from the main interpreter, whichever of them comes first."""
    code = f"""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        if {first == "main"}:
            import pyevent
        sub = interpreters.create()
        failure = interpreters.run_string(sub, '''if True:
            try:
                import pyevent
            except ImportError as error:
                print(error, flush=True)
        ''')
        assert failure is None, failure
        interpreters.destroy(sub)
        import pyevent
        print(len(pyevent.backends()) > 0)
    """
    told = "pyevent works in the main interpreter only, not in a subinterpreter"
    assert run(code) == f"{told}\nTrue\n"


def test_an_uncompiled_source_tree_says_what_to_do(tmp_path):
    package = Path(pyevent.__file__).parent
    shutil.copytree(package, tmp_path / "pyevent", ignore=shutil.ignore_patterns("*.so"))
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        try:
            import pyevent
        except ImportError as error:
            print(error)
    """
    assert "in its source tree run `make` or `pip install .`" in run(code)
