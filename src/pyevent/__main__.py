"""``python -m pyevent``: what a bug report needs to say about this installation."""

import os
import platform
import sys
from collections.abc import Iterator

import pyevent
from pyevent._native import core

TIMER_MS = 0.1  # shorter than a millisecond: a backend that counts in those takes longer


def flag_names(features: pyevent.Feature) -> str:
    names = [flag.name or "" for flag in pyevent.Feature if flag in features]
    return " ".join(name.removeprefix("EV_FEATURE_") for name in names) or "none"


def shortest_wait(base: pyevent.EventBase) -> float:
    """How many milliseconds a wait for TIMER_MS takes, at the best of some."""
    best = float("inf")
    for _ in range(5):
        start = base.gettime_monotonic()
        base.loopexit(TIMER_MS * 1e-3)
        base.dispatch()
        best = min(best, (base.gettime_monotonic() - start) * 1e3)
    return best


def backend_lines() -> Iterator[str]:
    with pyevent.EventBase() as base:
        chosen = base.method
    for name in pyevent.get_supported_methods():
        mark = "*" if name == chosen else " "
        try:
            with pyevent.EventBase(backend=name) as base:
                features = flag_names(base.features)
                wait = shortest_wait(base)
        except OSError as exc:
            yield f"{mark} {name:8} does not open here: {exc}"
        else:
            yield f"{mark} {name:8} {features}; a {TIMER_MS:g} ms timer took {wait:.2f} ms"


def environment() -> str:
    """What is set of the variables that libevent reads, too."""
    names = sorted(name for name in os.environ if name.startswith("EVENT_"))
    return " ".join(f"{name}={os.environ[name]}" for name in names) or "nothing set"


def open_files() -> str:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"at most {soft}, can be raised to {hard}"


def lines() -> Iterator[str]:
    build = core.build_info()
    python = f"{platform.python_implementation()} {sys.version}".replace("\n", " ")
    yield f"pyevent      {pyevent.__version__}, {core.__file__}"
    yield f"libevent API {pyevent.get_version()} ({pyevent.LIBEVENT_VERSION_NUMBER:#010x})"
    yield f"Python       {python}"
    yield f"system       {platform.platform()}"
    yield f"processors   {os.cpu_count()}"
    yield f"open files   {open_files()}"
    yield f"environment  {environment()}"
    yield f"compiled by  {build['compiler']}, Cython {build['cython']}"
    yield f"compiled as  {', '.join(build['modes'])}"
    yield f"sanitizers   {build['sanitizers'] or 'none'}"
    yield "backends     (*: the one that EventBase() takes)"
    yield from backend_lines()


def main() -> None:
    for line in lines():
        print(line)


if __name__ == "__main__":
    main()
