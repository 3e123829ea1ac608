from pyevent._buffer import Buffer as Buffer
from pyevent._config import EventConfig as EventConfig
from pyevent._config import backends as backends
from pyevent._config import get_supported_methods as get_supported_methods
from pyevent._core import get_version as get_version
from pyevent._core import live_allocations as live_allocations
from pyevent._datagram import Datagram as Datagram
from pyevent._event import Event as Event
from pyevent._files import FileSegment as FileSegment
from pyevent._filter import Filter as Filter
from pyevent._listener import Listener as Listener
from pyevent._loop import EventBase as EventBase
from pyevent._notes import BufferCallback as BufferCallback
from pyevent._ratelimit import RateLimit as RateLimit
from pyevent._ratelimit import RateLimitGroup as RateLimitGroup
from pyevent._running import set_fork_handling as set_fork_handling
from pyevent._stream import BufferEvent as BufferEvent
from pyevent._watch import CheckWatcher as CheckWatcher
from pyevent._watch import PrepareWatcher as PrepareWatcher
from pyevent.activation import listen_fds as listen_fds
from pyevent.changes import BufferChange as BufferChange
from pyevent.constants import *  # noqa: F403
from pyevent.errors import RAISE as RAISE
from pyevent.libevent import *  # noqa: F403

__version__: str
