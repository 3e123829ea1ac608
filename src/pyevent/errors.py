"""What becomes of an exception that a callback raises, and of what the C core logs."""

import sys


class _Raise:
    """The type of :data:`RAISE`."""

    def __repr__(self) -> str:
        return "pyevent.RAISE"

    def __reduce__(self) -> str:
        return "RAISE"


#: As an exception handler: ``dispatch()`` raises the exception at once.
RAISE = _Raise()


def load() -> None:
    """Import what telling of a failure takes; again, it costs next to nothing.

    Done when a base is made: the first failure may be that no descriptor is free, and then
    nothing can be imported. An import of pyevent is not to wait for it.
    """
    import ast  # noqa: F401  traceback's, for a part of a line; so is unicodedata
    import linecache  # noqa: F401
    import logging  # noqa: F401
    import socket  # noqa: F401  the error of a lookup
    import tokenize  # noqa: F401  linecache's
    import traceback  # noqa: F401
    import unicodedata  # noqa: F401
    import warnings  # noqa: F401


def log_failure(context: dict[str, object]) -> None:
    """Log the failure of a callback, with its traceback, on the logger "pyevent".

    *context* is what an exception handler gets: ``message``, ``exception``, ``source`` (the
    object whose callback it was) and ``callback``.
    """
    import logging

    exc = context["exception"]
    assert isinstance(exc, BaseException)
    logging.getLogger("pyevent").error(
        "%s: %r of %r",
        context["message"],
        context["callback"],
        context["source"],
        exc_info=(type(exc), exc, exc.__traceback__),
    )


def log_slow(callback: object, source: object, seconds: float) -> None:
    """Log that a callback has kept its loop for so many seconds."""
    import logging

    name = getattr(callback, "__qualname__", None) or repr(callback)
    logging.getLogger("pyevent").warning(
        "slow callback: %s of %r took %.3f s", name, source, seconds
    )


def log_line(severity: int, message: str) -> None:
    """Log a line of the C core; *severity* is an ``EVENT_LOG_*``."""
    import logging

    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
    logging.getLogger("pyevent").log(levels[severity], "%s", message)


def log_lost(exc: BaseException) -> None:
    """A log callback has failed: its line is lost, the program goes on."""
    sys.excepthook(type(exc), exc, exc.__traceback__)
