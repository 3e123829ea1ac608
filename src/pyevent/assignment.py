"""What an event is set up with that is no argument of its own."""


class _Self:
    """The type of :data:`SELF`."""

    def __repr__(self) -> str:
        return "pyevent.event_self_cbarg"

    def __reduce__(self) -> str:
        return "SELF"

    def __call__(self) -> "_Self":
        """C gets it from a function."""
        return self


#: As the argument of an event: its callback gets the event itself.
SELF = _Self()
