"""Builds pyevent: the C core as one static archive, all of Cython as one shared object.

The metadata is in pyproject.toml; docs/design/cython.md says why the build has this shape.
Switches, read from the environment:

    SOURCE_DATE_EPOCH=seconds        the time of every file in the sdist: the same sdist each time

    PYEVENT_DEBUG=1                  no optimisation, assertions on
    PYEVENT_SAN=address,undefined    compile and link with these sanitizers
    PYEVENT_COVERAGE=1               count lines for gcov, those of the .pyx files too
    PYEVENT_WERROR=1                 a warning in the C core is an error
"""

import gzip
import os
import re
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

MODULES = [
    "core",
    "base.arguments",
    "base.address",
    "base.log",
    "base.util",
    "loop.config",
    "loop.attached",
    "loop.calling",
    "loop.eventbase",
    "loop.running",
    "loop.event",
    "loop.watch",
    "buf.views",
    "buf.files",
    "buf.callbacks",
    "buf.contents",
    "buf.lines",
    "buf.buffer",
    "buf.owned",
    "buf.quick",
    "stream.ratelimit",
    "stream.descriptor",
    "stream.limits",
    "stream.endpoint",
    "stream.settings",
    "stream.upcalls",
    "stream.bufferevent",
    "stream.filter",
    "stream.listener",
    "stream.datagram",
]  # below pyevent._native; see _boot.py
CORE = sorted(glob("csrc/**/*.c", recursive=True))
HEADERS = sorted(glob("csrc/**/*.h", recursive=True))
INCLUDE = ["csrc", "csrc/include"]
HOME = "https://github.com/pyevent/pyevent"

# Plain method descriptors instead of Cython's own functions: they check the type of `self`,
# also where a method is called through its class, and so through a flat name of libevent's.
DIRECTIVES = {
    "language_level": 3,
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "auto_pickle": False,  # nothing here can be pickled
}


def env(name):
    value = os.environ.get(name, "")
    return "" if value == "0" else value


# Only PyInit_* leaves the shared object: what the core declares stays inside.
common_flags = ["-O2", "-fvisibility=hidden", "-pthread"]  # -O3 makes it larger, not faster
link_flags = ["-pthread"]
if sys.platform.startswith("linux"):
    common_flags += ["-fno-plt"]  # calls into CPython and libc without a stub in between
if env("PYEVENT_DEBUG"):
    common_flags += ["-O0", "-g3", "-UNDEBUG"]
if env("PYEVENT_SAN"):
    common_flags += [f"-fsanitize={env('PYEVENT_SAN')}", "-fno-sanitize-recover=all"]
    common_flags += ["-fno-omit-frame-pointer", "-g"]
    common_flags += [f'-DPYEVENT_SANITIZERS="{env("PYEVENT_SAN")}"']
    link_flags += [f"-fsanitize={env('PYEVENT_SAN')}"]
if env("PYEVENT_COVERAGE"):
    common_flags += ["-O0", "--coverage", "-DPYEVENT_COVERAGE"]
    link_flags += ["--coverage"]

# The strict warnings are for our C. What Cython writes is not ours to correct.
core_flags = ["-std=c11", "-D_GNU_SOURCE", "-fPIC", "-Wall", "-Wextra"]
core_flags += ["-Wconversion", "-Wshadow", "-Wstrict-prototypes"]
core_flags += ["-Werror"] if env("PYEVENT_WERROR") else []


def is_current(target):
    """Whether an object file is newer than all that the compiler read for it (-MMD)."""
    rule = Path(target).with_suffix(".d")
    if not (rule.exists() and Path(target).exists()):
        return False
    read = rule.read_text().replace("\\\n", " ").split()[1:]
    built_at = os.path.getmtime(target)
    return all(os.path.exists(p) and os.path.getmtime(p) <= built_at for p in [*read, "setup.py"])


def compile_what_changed(command):
    """Have the command's compiler skip current objects and use every processor for the rest."""
    compile_one_by_one = command.compiler.compile

    def compile(sources, output_dir=None, **options):
        objects = command.compiler.object_filenames(sources, output_dir=output_dir)
        pairs = zip(sources, objects, strict=True)
        jobs = [s for s, o in pairs if command.force or not is_current(o)]
        options["extra_postargs"] = [*(options.get("extra_postargs") or []), "-MMD"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda s: compile_one_by_one([s], output_dir, **options), jobs))
        return objects

    command.compiler.compile = compile


class BuildCore(build_clib):
    def build_libraries(self, libraries):
        compile_what_changed(self)
        for name, _ in libraries:  # ar would keep what a renamed source left behind
            Path(self.build_clib, f"lib{name}.a").unlink(missing_ok=True)
        super().build_libraries(libraries)


class BuildModules(build_ext):
    def run(self):
        self.run_command("build_clib")
        super().run()

    def build_extensions(self):
        compile_what_changed(self)
        self.compiler.force = True  # the linker's own check overlooks the archive
        super().build_extensions()

    def build_extension(self, ext):
        from Cython.Build import cythonize  # here, so that other commands do without it

        names = [s.removeprefix("src/").removesuffix(".pyx").replace("/", ".") for s in ext.sources]
        modules = [Extension(n, [s]) for n, s in zip(names, ext.sources, strict=True)]
        done = cythonize(
            modules,
            build_dir="build/cython",
            include_path=["src"],
            compiler_directives=DIRECTIVES,
            emit_linenums=bool(env("PYEVENT_COVERAGE")),
            force=self.force,
            quiet=True,
        )
        ext.sources = [source for module in done for source in module.sources]
        if not self.inplace and not env("PYEVENT_DEBUG"):
            ext.extra_link_args += ["-Wl,-S"]  # to be installed: without debug information
        super().build_extension(ext)


class SourceArchive(sdist):
    """An archive of nothing but what the files hold: no owner, no umask, one time for all."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        if format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)
        seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())

        def anonymous(info):
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = seconds
            info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            return info

        path = f"{base_name}.tar.gz"
        self.mkpath(os.path.dirname(path))
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=seconds) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            tar.add(base_dir, filter=anonymous)  # which sorts each folder
        return path


def description():
    """README.md as a package index can show it: what it links to is in the repository."""
    text = Path("README.md").read_text(encoding="utf-8")

    def absolute(link):
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({HOME}/{kind}/main/{link[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)", absolute, text)


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    libraries=[
        (
            "pyevent",
            {
                "sources": CORE,
                "obj_deps": {"": HEADERS},
                "include_dirs": INCLUDE,
                "cflags": core_flags + common_flags,
            },
        )
    ],
    ext_modules=[
        Extension(
            "pyevent._native.core",
            [f"src/pyevent/_native/{name.replace('.', '/')}.pyx" for name in MODULES],
            depends=[*CORE, *HEADERS, "setup.py"],
            include_dirs=INCLUDE,
            extra_compile_args=common_flags,
            extra_link_args=link_flags,
        )
    ],
    cmdclass={"build_clib": BuildCore, "build_ext": BuildModules, "sdist": SourceArchive},
)
