"""libevent's flat names: each is the method or class of the same thing.

The arguments come in C's order, with Python's habits: what C returns through a pointer
is the result, -1 is an exception, NULL for "nothing there" is ``None``, a timeval is a
number of seconds, a sockaddr an address tuple or a path. They are the built-in methods:
an override in a subclass is not seen through them.
"""

from collections.abc import Callable
from typing import Any

from pyevent._native.base import util
from pyevent._native.base.log import (
    enable_debug_logging,
    enable_debug_mode,
    global_shutdown,
    set_log_callback,
)
from pyevent._native.buf.buffer import Buffer
from pyevent._native.buf.files import FileSegment
from pyevent._native.core import get_version
from pyevent._native.loop.config import EventConfig, get_supported_methods
from pyevent._native.loop.event import Event, is_initialized, set_base
from pyevent._native.loop.eventbase import EventBase
from pyevent._native.loop.watch import CheckWatcher, PrepareWatcher, Watcher, prepare_get_timeout
from pyevent._native.stream.bufferevent import BufferEvent
from pyevent._native.stream.listener import Listener
from pyevent._native.stream.ratelimit import RateLimit, RateLimitGroup
from pyevent.assignment import SELF
from pyevent.constants import LIBEVENT_VERSION_NUMBER, EventFlag

event_get_version = get_version
event_get_supported_methods = get_supported_methods
event_set_log_callback = set_log_callback
event_enable_debug_logging = enable_debug_logging
event_enable_debug_mode = enable_debug_mode
libevent_global_shutdown = global_shutdown

event_config_new = EventConfig
event_config_free = EventConfig.close
event_config_avoid_method = EventConfig.avoid_method
event_config_require_features = EventConfig.require_features
event_config_set_flag = EventConfig.set_flag
event_config_set_max_dispatch_interval = EventConfig.set_max_dispatch_interval

event_base_new = EventBase
event_base_new_with_config = EventBase
event_base_free = EventBase.close
event_base_dispatch = EventBase.dispatch
event_base_loop = EventBase.loop
event_base_loopexit = EventBase.loopexit
event_base_loopbreak = EventBase.loopbreak
event_base_loopcontinue = EventBase.loopcontinue
event_base_got_exit = EventBase.got_exit
event_base_got_break = EventBase.got_break
event_base_once = EventBase.once
event_base_get_method = EventBase.get_method
event_base_get_signal_method = EventBase.get_signal_method
event_base_get_features = EventBase.get_features
event_base_get_num_events = EventBase.get_num_events
event_base_get_max_events = EventBase.get_max_events
event_base_priority_init = EventBase.priority_init
event_base_get_npriorities = EventBase.get_npriorities
event_base_gettimeofday_cached = EventBase.gettimeofday_cached
event_base_update_cache_time = EventBase.update_cache_time
event_gettime_monotonic = EventBase.gettime_monotonic
event_reinit = EventBase.reinit
event_base_active_by_fd = EventBase.active_by_fd
event_base_active_by_signal = EventBase.active_by_signal
event_base_dump_events = EventBase.dump_events
event_base_foreach_event = EventBase.foreach_event
event_base_get_running_event = EventBase.get_running_event
event_base_init_common_timeout = EventBase.init_common_timeout

event_new = Event
event_free = Event.close
event_assign = Event.assign
event_initialized = is_initialized
event_base_set = set_base
event_self_cbarg = SELF
event_add = Event.add
event_del = Event.delete
event_del_noblock = Event.delete
event_del_block = Event.delete
event_remove_timer = Event.remove_timer
event_active = Event.active
event_pending = Event.get_pending
event_get_fd = Event.get_fd
event_get_base = Event.get_base
event_get_events = Event.get_events
event_get_callback = Event.get_callback
event_get_callback_arg = Event.get_callback_arg
event_get_assignment = Event.get_assignment
event_get_priority = Event.get_priority
event_priority_set = Event.priority_set

evwatch_prepare_new = PrepareWatcher
evwatch_check_new = CheckWatcher
evwatch_free = Watcher.close
evwatch_base = Watcher.get_base
evwatch_prepare_get_timeout = prepare_get_timeout

evtimer_new = Event.timer
evtimer_add = Event.add
evtimer_del = Event.delete
evtimer_pending = Event.get_pending
evtimer_initialized = is_initialized
evsignal_new = Event.signal
evsignal_add = Event.add
evsignal_del = Event.delete
evsignal_pending = Event.get_pending
evsignal_initialized = is_initialized
evuser_new = Event.timer
evuser_del = Event.delete
evuser_pending = Event.get_pending
evuser_initialized = is_initialized
evuser_trigger = Event.active
event_get_signal = Event.get_fd

evbuffer_new = Buffer
evbuffer_free = Buffer.close
evbuffer_get_length = Buffer.get_length
evbuffer_get_contiguous_space = Buffer.get_contiguous_space
evbuffer_get_max_read = Buffer.get_max_read
evbuffer_set_max_read = Buffer.set_max_read
evbuffer_add = Buffer.add
evbuffer_add_buffer = Buffer.add_buffer
evbuffer_add_buffer_reference = Buffer.add_buffer_reference
evbuffer_add_reference = Buffer.add_reference
evbuffer_add_iovec = Buffer.add_iovec
evbuffer_add_file = Buffer.add_file
evbuffer_add_file_segment = Buffer.add_file_segment
evbuffer_file_segment_new = FileSegment
evbuffer_file_segment_free = FileSegment.close
evbuffer_add_cb = Buffer.add_cb
evbuffer_remove_cb = Buffer.remove_cb
evbuffer_remove_cb_entry = Buffer.remove_cb_entry
evbuffer_cb_set_flags = Buffer.cb_set_flags
evbuffer_cb_clear_flags = Buffer.cb_clear_flags
evbuffer_defer_callbacks = Buffer.defer_callbacks
evbuffer_set_flags = Buffer.set_flags
evbuffer_clear_flags = Buffer.clear_flags
evbuffer_prepend = Buffer.prepend
evbuffer_prepend_buffer = Buffer.prepend_buffer
evbuffer_remove = Buffer.remove
evbuffer_remove_buffer = Buffer.remove_buffer
evbuffer_copyout = Buffer.copyout
evbuffer_copyout_from = Buffer.copyout_from
evbuffer_drain = Buffer.drain
evbuffer_readln = Buffer.readln
evbuffer_read = Buffer.read
evbuffer_write = Buffer.write
evbuffer_write_atmost = Buffer.write_atmost
evbuffer_search = Buffer.search
evbuffer_search_range = Buffer.search_range
evbuffer_search_eol = Buffer.search_eol
evbuffer_peek = Buffer.peek
evbuffer_pullup = Buffer.pullup
evbuffer_expand = Buffer.expand
evbuffer_reserve_space = Buffer.reserve
evbuffer_commit_space = Buffer.commit
evbuffer_freeze = Buffer.freeze
evbuffer_unfreeze = Buffer.unfreeze

bufferevent_socket_new = BufferEvent.socket_new
bufferevent_socket_connect = BufferEvent.socket_connect
bufferevent_socket_connect_hostname = BufferEvent.socket_connect_hostname
bufferevent_socket_connect_hostname_hints = BufferEvent.socket_connect_hostname_hints
bufferevent_socket_get_dns_error = BufferEvent.socket_get_dns_error
bufferevent_free = BufferEvent.close
bufferevent_setcb = BufferEvent.setcb
bufferevent_getcb = BufferEvent.getcb
bufferevent_setfd = BufferEvent.setfd
bufferevent_replacefd = BufferEvent.replacefd
bufferevent_getfd = BufferEvent.getfd
bufferevent_get_base = BufferEvent.get_base
bufferevent_get_input = BufferEvent.get_input
bufferevent_get_output = BufferEvent.get_output
bufferevent_write = BufferEvent.write
bufferevent_write_buffer = BufferEvent.write_buffer
bufferevent_read = BufferEvent.read
bufferevent_read_buffer = BufferEvent.read_buffer
bufferevent_enable = BufferEvent.enable
bufferevent_disable = BufferEvent.disable
bufferevent_get_enabled = BufferEvent.get_enabled
bufferevent_set_timeouts = BufferEvent.set_timeouts
bufferevent_setwatermark = BufferEvent.setwatermark
bufferevent_getwatermark = BufferEvent.getwatermark
bufferevent_flush = BufferEvent.flush
bufferevent_trigger = BufferEvent.trigger
bufferevent_trigger_event = BufferEvent.trigger_event
bufferevent_priority_set = BufferEvent.priority_set
bufferevent_get_priority = BufferEvent.get_priority
bufferevent_pair_new = BufferEvent.pair_new
bufferevent_pair_get_partner = BufferEvent.pair_get_partner
bufferevent_filter_new = BufferEvent.filter_new
bufferevent_get_underlying = BufferEvent.get_underlying
bufferevent_set_input_max = BufferEvent.set_input_max
bufferevent_get_input_max = BufferEvent.get_input_max
bufferevent_set_output_pause = BufferEvent.set_output_pause
bufferevent_get_output_pause = BufferEvent.get_output_pause

ev_token_bucket_cfg_new = RateLimit
ev_token_bucket_cfg_free = RateLimit.free
bufferevent_set_rate_limit = BufferEvent.set_rate_limit
bufferevent_get_token_bucket_cfg = BufferEvent.get_token_bucket_cfg
bufferevent_get_read_limit = BufferEvent.get_read_limit
bufferevent_get_write_limit = BufferEvent.get_write_limit
bufferevent_get_max_to_read = BufferEvent.get_max_to_read
bufferevent_get_max_to_write = BufferEvent.get_max_to_write
bufferevent_decrement_read_limit = BufferEvent.decrement_read_limit
bufferevent_decrement_write_limit = BufferEvent.decrement_write_limit
bufferevent_add_to_rate_limit_group = BufferEvent.add_to_rate_limit_group
bufferevent_remove_from_rate_limit_group = BufferEvent.remove_from_rate_limit_group
bufferevent_rate_limit_group_new = RateLimitGroup
bufferevent_rate_limit_group_free = RateLimitGroup.free
bufferevent_rate_limit_group_set_cfg = RateLimitGroup.set_cfg
bufferevent_rate_limit_group_set_min_share = RateLimitGroup.set_min_share
bufferevent_rate_limit_group_get_read_limit = RateLimitGroup.get_read_limit
bufferevent_rate_limit_group_get_write_limit = RateLimitGroup.get_write_limit
bufferevent_rate_limit_group_decrement_read = RateLimitGroup.decrement_read
bufferevent_rate_limit_group_decrement_write = RateLimitGroup.decrement_write
bufferevent_rate_limit_group_get_totals = RateLimitGroup.get_totals
bufferevent_rate_limit_group_reset_totals = RateLimitGroup.reset_totals

bufferevent_set_max_single_read = BufferEvent.set_max_single_read
bufferevent_set_max_single_write = BufferEvent.set_max_single_write
bufferevent_get_max_single_read = BufferEvent.get_max_single_read
bufferevent_get_max_single_write = BufferEvent.get_max_single_write

evconnlistener_new = Listener.new
evconnlistener_new_bind = Listener.new_bind
evconnlistener_free = Listener.close
evconnlistener_enable = Listener.enable
evconnlistener_disable = Listener.disable
evconnlistener_get_base = Listener.get_base
evconnlistener_get_fd = Listener.get_fd
evconnlistener_set_cb = Listener.set_cb
evconnlistener_set_error_cb = Listener.set_error_cb

evutil_make_socket_nonblocking = util.make_socket_nonblocking
evutil_make_socket_closeonexec = util.make_socket_closeonexec
evutil_make_listen_socket_reuseable = util.make_listen_socket_reuseable
evutil_make_listen_socket_reuseable_port = util.make_listen_socket_reuseable_port
evutil_make_listen_socket_ipv6only = util.make_listen_socket_ipv6only
evutil_make_listen_socket_not_ipv6only = util.make_listen_socket_not_ipv6only
evutil_make_tcp_listen_socket_deferred = util.make_tcp_listen_socket_deferred
evutil_set_tcp_keepalive = util.set_tcp_keepalive
evutil_socketpair = util.socketpair
evutil_closesocket = util.closesocket
evutil_parse_sockaddr_port = util.parse_sockaddr_port
evutil_sockaddr_cmp = util.sockaddr_cmp
evutil_getaddrinfo = util.getaddrinfo
evutil_gai_strerror = util.gai_strerror
evutil_date_rfc1123 = util.date_rfc1123


def event_get_version_number() -> int:
    """The version of libevent's API that this is, as 0xMMmmpp00."""
    return LIBEVENT_VERSION_NUMBER


def event_set_fatal_callback(callback: Callable[[int], None] | None) -> None:
    """Accepted: the library never ends the process, so there is nothing to call it for."""


def event_finalize(flags: int, event: Event, callback: Callable[[Event, object], None]) -> None:
    """Delete *event* for good and call ``callback(event, arg)`` from its loop."""
    Event.finalize(event, callback)


event_free_finalize = event_finalize


def evtimer_assign(
    ev: Event,
    base: EventBase,
    callback: Callable[[int, EventFlag, Any], object],
    arg: object = None,
) -> None:
    """As :meth:`Event.assign`, for a timer."""
    Event.assign(ev, base, -1, 0, callback, arg)


def evsignal_assign(
    ev: Event,
    base: EventBase,
    signum: int,
    callback: Callable[[int, EventFlag, Any], object],
    arg: object = None,
) -> None:
    """As :meth:`Event.assign`, for a persistent event of a signal."""
    Event.assign(ev, base, signum, EventFlag.EV_SIGNAL | EventFlag.EV_PERSIST, callback, arg)


def evthread_use_pthreads() -> int:
    """A base can always be used from any thread: returns 0."""
    return 0


def evthread_use_pthreads_with_flags(flags: int) -> int:
    """As :func:`evthread_use_pthreads`."""
    return 0


def evthread_make_base_notifiable(base: EventBase) -> int:
    """A base can always be woken by other threads: returns 0."""
    return 0


def evthread_enable_lock_debugging() -> None:
    """There is no lock to debug."""


_PREFIXES = (
    "ev_token_bucket_cfg_",
    "bufferevent_",
    "evbuffer_",
    "evconnlistener_",
    "event_",
    "evsignal_",
    "evthread_",
    "evtimer_",
    "evutil_",
    "evuser_",
    "evwatch_",
    "libevent_",
)

# See constants.py for why this is no plain assignment.
globals()["__all__"] = [name for name in globals() if name.startswith(_PREFIXES)]
