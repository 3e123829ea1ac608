"""What callbacks are told of a change."""

from collections import namedtuple

BufferChange = namedtuple("BufferChange", ["orig_size", "n_added", "n_deleted"])
BufferChange.__doc__ = """What one call has changed in a :class:`Buffer`, in bytes.

*orig_size* is the length before, *n_added* and *n_deleted* are what came and went.
"""
