"""What the Makefile and the benchmarks say when they cannot do what they are told."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="not in a source tree"),
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]


def run(*command, **environment):
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command, cwd=ROOT, env=env | environment, capture_output=True, text=True, timeout=50
    )


def make(*arguments):
    return run("make", *arguments)


def python_at(path, version=(3, 11)):
    """Something that make asks as a Python, and that answers for this version."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"sys._base_executable = {str(path)!r}\n"
        f"sys.version_info = {version!r}\n"
        "exec(sys.argv[2])\n"
    )
    path.chmod(0o755)
    return path


def environment_for(python):
    """Where `make PYTHON=...` would put what it needs."""
    done = make("--dry-run", "build", f"PYTHON={python}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if f"{python} -m venv ." in line]
    return line.split(" -m venv ")[1].split()[0]


def test_each_interpreter_has_an_environment_of_its_own(tmp_path):
    pythons = [python_at(tmp_path / folder / "python") for folder in ("a", "b")]
    pythons.append(python_at(tmp_path / "c" / "python", (3, 12)))
    names = [environment_for(python) for python in pythons]
    assert len(set(names)) == 3
    assert names[0].startswith(".venv-3.11-")
    assert names[2].startswith(".venv-3.12-")
    (tmp_path / "link").symlink_to(pythons[0])
    assert environment_for(pythons[0]) == names[0]


def test_a_python_that_is_too_old_is_told(tmp_path):
    python = python_at(tmp_path / "python", (3, 9))
    done = make(f"PYTHON={python}")
    assert done.returncode == 2
    assert f"pyevent needs Python >= 3.10, and {python} is 3.9" in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", ["missing", "stub"])
def test_a_python_that_does_not_run_is_told(tmp_path, name):
    """As a version manager's stub for a version that is not chosen."""
    (tmp_path / "stub").write_text("#!/bin/sh\necho not chosen >&2\nexit 127\n")
    (tmp_path / "stub").chmod(0o755)
    done = make(f"PYTHON={tmp_path / name}")
    assert done.returncode == 2
    assert f"PYTHON={tmp_path / name} does not run" in done.stdout


def test_a_python_is_asked_only_by_what_needs_it(tmp_path):
    assert make("--dry-run", "lib", "ctest", f"PYTHON={tmp_path}/missing").returncode == 0


def test_a_c_test_program_that_is_not_there_is_told():
    done = make("ctest", "T=base/test_nothing")
    assert done.returncode == 2
    assert "there is no tests/c/base/test_nothing.c" in done.stderr


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("installed", [True, False])
def test_libevent_is_looked_for_by_the_compiler_where_pkg_config_does_not_know_it(
    tmp_path, installed
):
    (tmp_path / "pkg-config").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "pkg-config").chmod(0o755)
    if installed:
        (tmp_path / "event2").mkdir()
        (tmp_path / "event2/event.h").touch()
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run("make", "--dry-run", "ctest", f"CC=gcc -nostdinc -I{tmp_path}", PATH=path)
    assert done.returncode == 0, done.stderr
    assert ("parity_loop.libevent" in done.stdout) == installed
    skipped = "comparison with libevent skipped: libevent-dev is not installed"
    assert (skipped in done.stdout) != installed


@pytest.mark.slow  # it may have to compile the core
@pytest.mark.deadline(300)
def test_a_name_that_no_c_test_has_is_a_failure():
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    for part, status in (("no_such_test", 2), ("heap", 0)):
        command = ["make", "ctest", "T=base/test_heap", f"K={part}"]
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == status, done.stderr
        told = f"no test in base/test_heap has '{part}' in its name" in done.stdout
        assert told == (status != 0)


def test_counting_without_valgrind_says_what_is_missing(tmp_path):
    done = run(sys.executable, "benchmarks/count.py", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "make bench-count needs valgrind and strace; Debian has them as packages\n"
    )


def test_a_quick_run_of_the_benchmarks_leaves_the_committed_figures():
    committed = ROOT / "benchmarks/results/lines.json"
    before = committed.read_bytes()
    code = """
import sys
sys.path.insert(0, "benchmarks")
sys.argv = ["run.py", "--quick", "--only", "lines"]
import run
run.run_lines = lambda *arguments: {"cases": []}
run.main()
"""
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert committed.read_bytes() == before
    assert f"{ROOT / 'build/bench/lines.json'} written" in done.stdout


@pytest.mark.skipif(not (ROOT / ".ci/run").exists(), reason="the CI script is not here")
def test_ci_takes_a_python_of_pyenv_where_the_name_on_the_path_is_a_stub(tmp_path):
    """A stub for a version that is not chosen exists, and does not run."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "python3.12").write_text("#!/bin/sh\nexit 127\n")
    (stubs / "python3.11").write_text("#!/bin/sh\nexit 0\n")
    for version in ("3.1.9", "3.12.7", "3.10"):
        bin_ = tmp_path / "versions" / version / "bin"
        bin_.mkdir(parents=True)
        short = "python" + ".".join(version.split(".")[:2])
        (bin_ / short).write_text("#!/bin/sh\nexit 0\n")
    for path in tmp_path.rglob("python3*"):
        path.chmod(0o755)
    (function,) = re.findall(r"^python_of.*?^}\n", (ROOT / ".ci/run").read_text(), re.M | re.S)
    code = f"set -eu\n{function}"
    code += 'for v in 3.9 3.10 3.11 3.12 3.13; do echo "$v $(python_of $v)"; done'
    path = f"{stubs}:/usr/bin:/bin"
    done = run("bash", "-c", code, PATH=path, PYENV_ROOT=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert found["3.10"] == str(tmp_path / "versions/3.10/bin/python3.10")
    assert found["3.11"] == "python3.11"
    assert found["3.12"] == str(tmp_path / "versions/3.12.7/bin/python3.12")
