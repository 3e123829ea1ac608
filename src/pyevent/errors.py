"""What becomes of an exception that a callback raises, and of what the C core logs."""


class _Raise:
    """The type of :data:`RAISE`."""

    def __repr__(self) -> str:
        return "pyevent.RAISE"

    def __reduce__(self) -> str:
        return "RAISE"


#: As an exception handler: ``dispatch()`` raises the exception at once.
RAISE = _Raise()


def log_failure(context: dict[str, object]) -> None:
    """Log the failure of a callback, with its traceback, on the logger "pyevent".

    *context* is what an exception handler gets: ``message``, ``exception``, ``source`` (the
    object whose callback it was) and ``callback``.
    """
    import logging  # only here: an import of pyevent is not to wait for it

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
    import sys

    sys.excepthook(type(exc), exc, exc.__traceback__)
