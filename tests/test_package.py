"""What users install: the sdist builds, and its wheel holds what is needed and no more."""

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


def python(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=280
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


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"pyevent"}
    suffixes = {Path(name).suffix for name in names if name != "pyevent/py.typed"}
    assert suffixes == {".py", ".pyi", ".so"}
    assert "pyevent/py.typed" in names
    assert sum(name.endswith(".so") for name in names) == 1
    for path in (ROOT / "src/pyevent").glob("*.py*"):
        assert (f"pyevent/{path.name}" in names) == (path.suffix in (".py", ".pyi")), path


def test_the_wheel_works_by_itself(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pyevent; print(pyevent)"
    assert str(tmp_path) in python("-I", "-c", code, cwd=tmp_path)


def test_the_version_is_the_metadata_s():
    assert pyevent.__version__ == version("pyevent")
