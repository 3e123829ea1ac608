"""What users install: the sdist builds, and its wheel holds what is needed and no more."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import pyevent

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.deadline(300),
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source tree"),
]


def python(*arguments, cwd, umask=-1, **environment):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        umask=umask,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution, unpacked."""
    pytest.importorskip("setuptools")
    pytest.importorskip("Cython")
    out = tmp_path_factory.mktemp("sdist")
    python("setup.py", "-q", "sdist", "--dist-dir", str(out), cwd=ROOT)
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(out, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return out / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel, unpacked: what goes into sys.path."""
    out = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out)
    return out


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel built from the sdist, with the objects of this tree where they are current."""
    for part in ["cython", *[path.name for path in (ROOT / "build").glob("temp.*")]]:
        if (ROOT / "build" / part).exists():
            shutil.copytree(ROOT / "build" / part, sdist / "build" / part)
    out = tmp_path_factory.mktemp("wheel")
    options = ["--no-build-isolation", "--no-deps", "-q", "-w", str(out)]
    python("-m", "pip", "wheel", *options, str(sdist), cwd=out)
    (path,) = out.glob("*.whl")
    return path


def test_the_sdist_holds_every_source(sdist):
    for pattern in ["csrc/**/*.[ch]", "src/pyevent/**/*.p*", "tests/**/*.py", "tests/**/*.[ch]"]:
        for path in ROOT.glob(pattern):
            if "__pycache__" not in path.parts:
                assert (sdist / path.relative_to(ROOT)).exists(), path


def test_the_sdist_has_all_that_tests_of_the_tree_look_at(sdist, installed):
    options = ["-q", "-m", "not slow", "-p", "no:cacheprovider", "--basetemp", f"{installed}-tmp"]
    files = sorted(path.name for path in (ROOT / "tests").glob("test_*.py"))
    python("-m", "pytest", *options, *[f"tests/{name}" for name in files], cwd=sdist,
           PYTHONPATH=str(installed))  # fmt: skip


def test_the_same_tree_and_time_make_the_same_sdist(tmp_path):
    hashes = set()
    for umask in (0o022, 0o077):
        out = tmp_path / oct(umask)
        command = ["setup.py", "-q", "sdist", "--dist-dir", str(out)]
        python(*command, cwd=ROOT, umask=umask, SOURCE_DATE_EPOCH="1700000000")
        (archive,) = out.iterdir()
        hashes.add(hashlib.sha256(archive.read_bytes()).hexdigest())
        with tarfile.open(archive) as tar:
            assert {(info.mtime, info.uid, info.uname) for info in tar} == {(1700000000, 0, "")}
    assert len(hashes) == 1


def test_links_of_the_description_lead_out_of_the_package_index(sdist):
    text = (sdist / "PKG-INFO").read_text(encoding="utf-8")
    home = re.search(r"^Project-URL: Source, (.*)$", text, re.M)[1]
    description = text.split("\n\n", 1)[1]
    targets = re.findall(r"\]\(([^)]+)\)", description)
    assert len(targets) > 5
    for target in targets:
        assert re.match(r"https://|#", target), target
        if target.startswith(home):
            kind, branch, path = target.removeprefix(f"{home}/").split("/", 2)
            assert (ROOT / path.split("#")[0]).exists(), target
            assert (kind, branch) == ("raw" if path.endswith(".svg") else "blob", "main")


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"pyevent"}
    suffixes = {Path(name).suffix for name in names if name != "pyevent/py.typed"}
    assert suffixes == {".py", ".pyi", ".so"}
    assert "pyevent/py.typed" in names
    assert sum(name.endswith(".so") for name in names) == 1
    for path in (ROOT / "src/pyevent").glob("**/*.py*"):
        name = str(path.relative_to(ROOT / "src"))
        assert (name in names) == (path.suffix in (".py", ".pyi")), path


def test_the_wheel_works_by_itself(installed, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import pyevent; print(pyevent)"
    assert str(installed) in python("-I", "-c", code, cwd=tmp_path)


def test_the_version_is_the_metadata_s():
    assert pyevent.__version__ == version("pyevent")
