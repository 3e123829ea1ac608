"""libevent's programming model for Python, on a reactor in C.

Two names for one thing: classes with methods (:class:`EventBase`, :class:`Event`,
:class:`Buffer`, :class:`BufferEvent`, :class:`Listener`) and libevent's own names
(``event_base_dispatch``, ``bufferevent_setcb`` ...), which are the same callables. Only what
makes connections has libevent's defaults: nothing is closed and nothing is limited unless told so.
"""

from pyevent import _boot  # noqa: F401  first: it makes the compiled modules importable

# isort: split
from pyevent._native.buf import quick  # noqa: F401  before anybody takes a method of Buffer

# isort: split
from pyevent._native.buf.buffer import Buffer
from pyevent._native.buf.callbacks import BufferCallback
from pyevent._native.buf.files import FileSegment
from pyevent._native.core import get_version, live_allocations
from pyevent._native.loop.config import EventConfig, backends, get_supported_methods
from pyevent._native.loop.event import Event
from pyevent._native.loop.eventbase import EventBase
from pyevent._native.loop.running import set_fork_handling
from pyevent._native.loop.watch import CheckWatcher, PrepareWatcher
from pyevent._native.stream.bufferevent import BufferEvent
from pyevent._native.stream.datagram import Datagram
from pyevent._native.stream.filter import Filter
from pyevent._native.stream.listener import Listener
from pyevent._native.stream.ratelimit import RateLimit, RateLimitGroup
from pyevent.activation import listen_fds
from pyevent.changes import BufferChange
from pyevent.constants import *  # noqa: F403
from pyevent.constants import __all__ as _constants
from pyevent.errors import RAISE
from pyevent.libevent import *  # noqa: F403
from pyevent.libevent import __all__ as _functions

__version__ = "0.1.0"

__all__ = [
    "RAISE",
    "Buffer",
    "BufferCallback",
    "BufferChange",
    "BufferEvent",
    "CheckWatcher",
    "Datagram",
    "Event",
    "EventBase",
    "EventConfig",
    "FileSegment",
    "Filter",
    "Listener",
    "PrepareWatcher",
    "RateLimit",
    "RateLimitGroup",
    "__version__",
    "backends",
    "get_supported_methods",
    "get_version",
    "listen_fds",
    "live_allocations",
    "set_fork_handling",
    *_constants,
    *_functions,
]
