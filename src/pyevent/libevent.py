"""libevent's flat names: each is the method or class of the same thing.

The arguments come in C's order, with Python's habits: what C returns through a pointer
is the result, -1 is an exception, NULL for "nothing there" is ``None``, a timeval is a
number of seconds, a sockaddr an address tuple or a path. They are the built-in methods:
an override in a subclass is not seen through them.
"""

from pyevent._core import get_version
from pyevent._loop import Event, EventBase, EventConfig, get_supported_methods

event_get_version = get_version
event_get_supported_methods = get_supported_methods

event_config_new = EventConfig
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

event_new = Event
event_free = Event.close
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
event_get_priority = Event.get_priority
event_priority_set = Event.priority_set

evtimer_new = Event.timer
evtimer_add = Event.add
evtimer_del = Event.delete
evtimer_pending = Event.get_pending
evsignal_new = Event.signal
evsignal_add = Event.add
evsignal_del = Event.delete
evsignal_pending = Event.get_pending
evuser_new = Event.timer
evuser_del = Event.delete
evuser_pending = Event.get_pending
evuser_trigger = Event.active
event_get_signal = Event.get_fd

__all__ = [name for name in globals() if name.startswith(("event_", "evtimer_", "evsignal_", "evuser_"))]
