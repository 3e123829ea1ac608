"""Finds the compiled modules: all of them live in the shared object of ``pyevent._native.core``.

The C core keeps process-wide state (settings, signal tables, free lists), so it must be linked
once. One shared object therefore holds every Cython module, each with its own ``PyInit_`` function
(PEP 489, "Multiple modules in one library"), which has the last part of the module's name. Python's
own finder looks for a file per module; the one installed here points the names below at the file of
``core``. docs/design/cython.md has more.

Importing this module installs the finder; ``pyevent/__init__.py`` does so before all else.
"""

import sys
from importlib import import_module
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder

PACKAGE = "pyevent._native"
MODULES = (  # beside core, which is an ordinary file
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
)


class SharedObjectFinder:
    """Answers for a fixed list of names, all in one file; knows nothing of any other name.

    importlib.abc and importlib.util would save four lines and cost 10 to 20 ms of every import.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.names = frozenset(f"{PACKAGE}.{name}" for name in MODULES)

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        loader = ExtensionFileLoader(fullname, self.file)
        spec = ModuleSpec(fullname, loader, origin=self.file)
        spec.has_location = True  # so that the module gets its __file__
        return spec


def require_main_interpreter() -> None:
    """Raise ImportError in a subinterpreter: the core's state belongs to the whole process.

    Cython has a guard of its own, but that one takes whichever interpreter comes first.
    """
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    try:
        interpreters = import_module(name)
    except ImportError:
        return  # this Python makes no subinterpreters
    if interpreters.get_current() != interpreters.get_main():
        raise ImportError("pyevent works in the main interpreter only, not in a subinterpreter")


def install() -> None:
    """Put the finder behind all others: what is found elsewhere pays nothing for it."""
    spec = PathFinder.find_spec(f"{PACKAGE}.core", import_module(PACKAGE).__path__)
    if spec is None or spec.origin is None:
        raise ImportError(
            f"pyevent is not compiled for Python {sys.version_info[0]}.{sys.version_info[1]}; "
            "in its source tree run `make` or `pip install .`"
        )
    for finder in list(sys.meta_path):
        if type(finder).__name__ == SharedObjectFinder.__name__:  # of an earlier import
            sys.meta_path.remove(finder)
    sys.meta_path.append(SharedObjectFinder(spec.origin))


require_main_interpreter()
install()
