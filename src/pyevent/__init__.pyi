from pyevent._native.buf.buffer import Buffer as Buffer
from pyevent._native.buf.callbacks import BufferCallback as BufferCallback
from pyevent._native.buf.files import FileSegment as FileSegment
from pyevent._native.core import get_version as get_version
from pyevent._native.core import live_allocations as live_allocations
from pyevent._native.loop.config import EventConfig as EventConfig
from pyevent._native.loop.config import backends as backends
from pyevent._native.loop.config import get_supported_methods as get_supported_methods
from pyevent._native.loop.event import Event as Event
from pyevent._native.loop.eventbase import EventBase as EventBase
from pyevent._native.loop.running import set_fork_handling as set_fork_handling
from pyevent._native.loop.watch import CheckWatcher as CheckWatcher
from pyevent._native.loop.watch import PrepareWatcher as PrepareWatcher
from pyevent._native.stream.bufferevent import BufferEvent as BufferEvent
from pyevent._native.stream.datagram import Datagram as Datagram
from pyevent._native.stream.filter import Filter as Filter
from pyevent._native.stream.listener import Listener as Listener
from pyevent._native.stream.ratelimit import RateLimit as RateLimit
from pyevent._native.stream.ratelimit import RateLimitGroup as RateLimitGroup
from pyevent.activation import listen_fds as listen_fds
from pyevent.changes import BufferChange as BufferChange
from pyevent.constants import *  # noqa: F403
from pyevent.errors import RAISE as RAISE
from pyevent.libevent import *  # noqa: F403

__version__: str
