"""libevent's constants: flag sets and enumerations, and every member under its C name.

Every function that takes one of these takes a plain ``int`` as well.
"""

from enum import IntEnum, IntFlag


class EventFlag(IntFlag):
    """What an event waits for, and what happened to it."""

    EV_TIMEOUT = 0x01  #: its time ran out
    EV_READ = 0x02  #: readable, or at end of file
    EV_WRITE = 0x04  #: writable
    EV_SIGNAL = 0x08  #: the "fd" is a signal number
    EV_PERSIST = 0x10  #: stays added when it fires
    EV_ET = 0x20  #: edge-triggered, where the backend can
    EV_FINALIZE = 0x40  #: accepted, of no effect
    EV_CLOSED = 0x80  #: the peer has closed its side


class LoopFlag(IntFlag):
    """For :meth:`EventBase.loop`."""

    EVLOOP_ONCE = 0x01  #: wait for events, run them, return
    EVLOOP_NONBLOCK = 0x02  #: run what is ready now, do not wait
    EVLOOP_NO_EXIT_ON_EMPTY = 0x04  #: stay even when no event is left


class EventCount(IntFlag):
    """For :meth:`EventBase.get_num_events`."""

    EVENT_BASE_COUNT_ACTIVE = 1  #: those whose callback is due
    EVENT_BASE_COUNT_VIRTUAL = 2  #: what keeps the loop alive and is no event
    EVENT_BASE_COUNT_ADDED = 4  #: those that wait for something


class Feature(IntFlag):
    """What a backend can do."""

    EV_FEATURE_ET = 0x01  #: edge-triggered events
    EV_FEATURE_O1 = 0x02  #: cost independent of the number of fds
    EV_FEATURE_FDS = 0x04  #: takes any descriptor, also regular files
    EV_FEATURE_EARLY_CLOSE = 0x08  #: reports EV_CLOSED


class BaseFlag(IntFlag):
    """For :meth:`EventConfig.set_flag`; those that mean nothing here are accepted."""

    EVENT_BASE_FLAG_NOLOCK = 0x01
    EVENT_BASE_FLAG_IGNORE_ENV = 0x02  #: ignore EVENT_NOEPOLL and its like
    EVENT_BASE_FLAG_STARTUP_IOCP = 0x04
    EVENT_BASE_FLAG_NO_CACHE_TIME = 0x08  #: read the clock at each use
    EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST = 0x10
    EVENT_BASE_FLAG_PRECISE_TIMER = 0x20
    EVENT_BASE_FLAG_EPOLL_DISALLOW_TIMERFD = 0x40
    EVENT_BASE_FLAG_USE_SIGNALFD = 0x80


class LogSeverity(IntEnum):
    """What a line that the C core logs is about."""

    EVENT_LOG_DEBUG = 0
    EVENT_LOG_MSG = 1
    EVENT_LOG_WARN = 2
    EVENT_LOG_ERR = 3


class EolStyle(IntEnum):
    """What ends a line, for :meth:`Buffer.readln` and :meth:`Buffer.search_eol`."""

    EVBUFFER_EOL_ANY = 0  #: any run of CR and LF
    EVBUFFER_EOL_CRLF = 1  #: LF, with an optional CR before it
    EVBUFFER_EOL_CRLF_STRICT = 2  #: exactly CR LF
    EVBUFFER_EOL_LF = 3  #: LF
    EVBUFFER_EOL_NUL = 4  #: a zero byte


class BufferFlag(IntFlag):
    """For :meth:`Buffer.set_flags`."""

    EVBUFFER_FLAG_DRAINS_TO_FD = 1  #: accepted: files may always go out by ``sendfile``


class BufferCallbackFlag(IntFlag):
    """For :meth:`Buffer.cb_set_flags`."""

    EVBUFFER_CB_ENABLED = 1  #: the callback is called


class FileSegmentFlag(IntFlag):
    """For :class:`FileSegment`."""

    EVBUF_FS_CLOSE_ON_FREE = 0x01  #: the descriptor is closed when it is no longer needed
    EVBUF_FS_DISABLE_MMAP = 0x02  #: the file is read instead of mapped
    EVBUF_FS_DISABLE_SENDFILE = 0x04  #: no ``sendfile``
    EVBUF_FS_DISABLE_LOCKING = 0x08  #: accepted: there is no lock


class BevEvent(IntFlag):
    """What a :class:`BufferEvent`'s event callback is told."""

    BEV_EVENT_READING = 0x01  #: it happened while reading
    BEV_EVENT_WRITING = 0x02  #: it happened while writing
    BEV_EVENT_EOF = 0x10  #: end of file
    BEV_EVENT_ERROR = 0x20  #: an error; see :attr:`BufferEvent.error`
    BEV_EVENT_TIMEOUT = 0x40  #: a timeout ran out
    BEV_EVENT_CONNECTED = 0x80  #: the connect is done


class BevOption(IntFlag):
    """For the constructor of :class:`BufferEvent`."""

    BEV_OPT_CLOSE_ON_FREE = 1 << 0  #: freeing closes the fd
    BEV_OPT_THREADSAFE = 1 << 1  #: accepted: always safe
    BEV_OPT_DEFER_CALLBACKS = 1 << 2  #: callbacks run from the loop only
    BEV_OPT_UNLOCK_CALLBACKS = 1 << 3  #: accepted: there is no lock


class FlushMode(IntEnum):
    """For :meth:`BufferEvent.flush`."""

    BEV_NORMAL = 0
    BEV_FLUSH = 1
    BEV_FINISHED = 2


class FilterResult(IntEnum):
    """What a filter function of :class:`Filter` returns."""

    BEV_OK = 0  #: it has used or made something
    BEV_NEED_MORE = 1  #: nothing can be made of what there is so far
    BEV_ERROR = 2  #: it makes no sense


class TriggerOption(IntFlag):
    """For :meth:`BufferEvent.trigger`."""

    BEV_TRIG_IGNORE_WATERMARKS = 1 << 16  #: call even below the low marks
    BEV_TRIG_DEFER_CALLBACKS = 1 << 2  #: call from the loop


class ListenerOption(IntFlag):
    """For the constructor of :class:`Listener`."""

    LEV_OPT_LEAVE_SOCKETS_BLOCKING = 1 << 0  #: accepted sockets stay blocking
    LEV_OPT_CLOSE_ON_FREE = 1 << 1  #: freeing closes the listening fd
    LEV_OPT_CLOSE_ON_EXEC = 1 << 2  #: close-on-exec, listening and accepted sockets
    LEV_OPT_REUSEABLE = 1 << 3  #: SO_REUSEADDR
    LEV_OPT_THREADSAFE = 1 << 4  #: accepted: always safe
    LEV_OPT_DISABLED = 1 << 5  #: starts disabled
    LEV_OPT_DEFERRED_ACCEPT = 1 << 6  #: TCP_DEFER_ACCEPT
    LEV_OPT_REUSEABLE_PORT = 1 << 7  #: SO_REUSEPORT
    LEV_OPT_BIND_IPV6ONLY = 1 << 8  #: IPV6_V6ONLY on
    LEV_OPT_BIND_IPV4_AND_IPV6 = 1 << 9  #: IPV6_V6ONLY off
    LEV_OPT_UNLINK_STALE = 1 << 16  #: a Unix path where nobody answers is removed


EV_TIMEOUT = EventFlag.EV_TIMEOUT
EV_READ = EventFlag.EV_READ
EV_WRITE = EventFlag.EV_WRITE
EV_SIGNAL = EventFlag.EV_SIGNAL
EV_PERSIST = EventFlag.EV_PERSIST
EV_ET = EventFlag.EV_ET
EV_FINALIZE = EventFlag.EV_FINALIZE
EV_CLOSED = EventFlag.EV_CLOSED

EVLOOP_ONCE = LoopFlag.EVLOOP_ONCE
EVLOOP_NONBLOCK = LoopFlag.EVLOOP_NONBLOCK
EVLOOP_NO_EXIT_ON_EMPTY = LoopFlag.EVLOOP_NO_EXIT_ON_EMPTY

EVENT_BASE_COUNT_ACTIVE = EventCount.EVENT_BASE_COUNT_ACTIVE
EVENT_BASE_COUNT_VIRTUAL = EventCount.EVENT_BASE_COUNT_VIRTUAL
EVENT_BASE_COUNT_ADDED = EventCount.EVENT_BASE_COUNT_ADDED

EV_FEATURE_ET = Feature.EV_FEATURE_ET
EV_FEATURE_O1 = Feature.EV_FEATURE_O1
EV_FEATURE_FDS = Feature.EV_FEATURE_FDS
EV_FEATURE_EARLY_CLOSE = Feature.EV_FEATURE_EARLY_CLOSE

EVENT_BASE_FLAG_NOLOCK = BaseFlag.EVENT_BASE_FLAG_NOLOCK
EVENT_BASE_FLAG_IGNORE_ENV = BaseFlag.EVENT_BASE_FLAG_IGNORE_ENV
EVENT_BASE_FLAG_STARTUP_IOCP = BaseFlag.EVENT_BASE_FLAG_STARTUP_IOCP
EVENT_BASE_FLAG_NO_CACHE_TIME = BaseFlag.EVENT_BASE_FLAG_NO_CACHE_TIME
EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST = BaseFlag.EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST
EVENT_BASE_FLAG_PRECISE_TIMER = BaseFlag.EVENT_BASE_FLAG_PRECISE_TIMER
EVENT_BASE_FLAG_EPOLL_DISALLOW_TIMERFD = BaseFlag.EVENT_BASE_FLAG_EPOLL_DISALLOW_TIMERFD
EVENT_BASE_FLAG_USE_SIGNALFD = BaseFlag.EVENT_BASE_FLAG_USE_SIGNALFD

EVENT_LOG_DEBUG = LogSeverity.EVENT_LOG_DEBUG
EVENT_LOG_MSG = LogSeverity.EVENT_LOG_MSG
EVENT_LOG_WARN = LogSeverity.EVENT_LOG_WARN
EVENT_LOG_ERR = LogSeverity.EVENT_LOG_ERR

EVENT_DBG_NONE = 0
EVENT_DBG_ALL = 0xFFFFFFFF

EVBUFFER_EOL_ANY = EolStyle.EVBUFFER_EOL_ANY
EVBUFFER_EOL_CRLF = EolStyle.EVBUFFER_EOL_CRLF
EVBUFFER_EOL_CRLF_STRICT = EolStyle.EVBUFFER_EOL_CRLF_STRICT
EVBUFFER_EOL_LF = EolStyle.EVBUFFER_EOL_LF
EVBUFFER_EOL_NUL = EolStyle.EVBUFFER_EOL_NUL

EVBUFFER_FLAG_DRAINS_TO_FD = BufferFlag.EVBUFFER_FLAG_DRAINS_TO_FD
EVBUFFER_CB_ENABLED = BufferCallbackFlag.EVBUFFER_CB_ENABLED
EVBUF_FS_CLOSE_ON_FREE = FileSegmentFlag.EVBUF_FS_CLOSE_ON_FREE
EVBUF_FS_DISABLE_MMAP = FileSegmentFlag.EVBUF_FS_DISABLE_MMAP
EVBUF_FS_DISABLE_SENDFILE = FileSegmentFlag.EVBUF_FS_DISABLE_SENDFILE
EVBUF_FS_DISABLE_LOCKING = FileSegmentFlag.EVBUF_FS_DISABLE_LOCKING

BEV_EVENT_READING = BevEvent.BEV_EVENT_READING
BEV_EVENT_WRITING = BevEvent.BEV_EVENT_WRITING
BEV_EVENT_EOF = BevEvent.BEV_EVENT_EOF
BEV_EVENT_ERROR = BevEvent.BEV_EVENT_ERROR
BEV_EVENT_TIMEOUT = BevEvent.BEV_EVENT_TIMEOUT
BEV_EVENT_CONNECTED = BevEvent.BEV_EVENT_CONNECTED

BEV_OPT_CLOSE_ON_FREE = BevOption.BEV_OPT_CLOSE_ON_FREE
BEV_OPT_THREADSAFE = BevOption.BEV_OPT_THREADSAFE
BEV_OPT_DEFER_CALLBACKS = BevOption.BEV_OPT_DEFER_CALLBACKS
BEV_OPT_UNLOCK_CALLBACKS = BevOption.BEV_OPT_UNLOCK_CALLBACKS

BEV_NORMAL = FlushMode.BEV_NORMAL
BEV_FLUSH = FlushMode.BEV_FLUSH
BEV_FINISHED = FlushMode.BEV_FINISHED

BEV_OK = FilterResult.BEV_OK
BEV_NEED_MORE = FilterResult.BEV_NEED_MORE
BEV_ERROR = FilterResult.BEV_ERROR

BEV_TRIG_IGNORE_WATERMARKS = TriggerOption.BEV_TRIG_IGNORE_WATERMARKS
BEV_TRIG_DEFER_CALLBACKS = TriggerOption.BEV_TRIG_DEFER_CALLBACKS

LEV_OPT_LEAVE_SOCKETS_BLOCKING = ListenerOption.LEV_OPT_LEAVE_SOCKETS_BLOCKING
LEV_OPT_CLOSE_ON_FREE = ListenerOption.LEV_OPT_CLOSE_ON_FREE
LEV_OPT_CLOSE_ON_EXEC = ListenerOption.LEV_OPT_CLOSE_ON_EXEC
LEV_OPT_REUSEABLE = ListenerOption.LEV_OPT_REUSEABLE
LEV_OPT_THREADSAFE = ListenerOption.LEV_OPT_THREADSAFE
LEV_OPT_DISABLED = ListenerOption.LEV_OPT_DISABLED
LEV_OPT_DEFERRED_ACCEPT = ListenerOption.LEV_OPT_DEFERRED_ACCEPT
LEV_OPT_REUSEABLE_PORT = ListenerOption.LEV_OPT_REUSEABLE_PORT
LEV_OPT_BIND_IPV6ONLY = ListenerOption.LEV_OPT_BIND_IPV6ONLY
LEV_OPT_BIND_IPV4_AND_IPV6 = ListenerOption.LEV_OPT_BIND_IPV4_AND_IPV6
LEV_OPT_UNLINK_STALE = ListenerOption.LEV_OPT_UNLINK_STALE

EV_RATE_LIMIT_MAX = 0x7FFFFFFFFFFFFFFF
EVENT_MAX_PRIORITIES = 256
LIBEVENT_VERSION_NUMBER = 0x02020001

# Every name above in capitals: what ``import pyevent`` passes on. A plain assignment of what is no
# literal would make type checkers take none of them; so they take what has no underscore.
globals()["__all__"] = [name for name in globals() if name.isupper()] + [
    "BaseFlag",
    "BevEvent",
    "BevOption",
    "BufferCallbackFlag",
    "BufferFlag",
    "EolStyle",
    "EventCount",
    "EventFlag",
    "Feature",
    "FileSegmentFlag",
    "FilterResult",
    "FlushMode",
    "ListenerOption",
    "LogSeverity",
    "LoopFlag",
    "TriggerOption",
]
