"""Every public function of connections, listeners, buffers and bases, ready to be called.

Each table has: name -> what is done to an object of the `scene` (see test_reentrancy.py); a
function stands in it under its name, with more words after a space where it is called in
several ways.
"""

import socket

from pyevent import (
    BEV_EVENT_EOF,
    BEV_EVENT_TIMEOUT,
    BEV_OPT_CLOSE_ON_FREE,
    BEV_TRIG_DEFER_CALLBACKS,
    BEV_TRIG_IGNORE_WATERMARKS,
    EV_READ,
    EV_WRITE,
    EVLOOP_NONBLOCK,
    FileSegment,
    Listener,
    RateLimit,
    RateLimitGroup,
)

ALL = EV_READ | EV_WRITE


def again(bev):
    """Other callbacks of it, which do everything that callbacks do."""
    bev.setcb(
        lambda bev, arg: bev.write(bev.read(10)),
        lambda bev, arg: bev.disable(EV_WRITE),
        lambda bev, what, arg: bev.close(),
        ALL,
    )


def marks(bev):
    bev.setwatermark(EV_READ, 1, 2)
    bev.setwatermark(EV_READ, 0, 1)
    bev.setwatermark(ALL, 0, 0)


def note(*args):
    """A callback that does nothing."""


def change(bev, fd):
    """Gives the old descriptor, which setfd leaves open."""
    old = bev.fd
    if old < 0:
        raise ValueError("it has none")
    bev.setfd(fd)
    return old


CONNECTION = {
    "close": lambda bev, scene: bev.close(),
    "free": lambda bev, scene: bev.free(),
    "closed": lambda bev, scene: bev.closed,
    "setcb": lambda bev, scene: bev.setcb(),
    "setcb again": lambda bev, scene: again(bev),
    "getcb": lambda bev, scene: bev.getcb(),
    "get_input": lambda bev, scene: bev.get_input(),
    "input": lambda bev, scene: len(bev.input),
    "get_output": lambda bev, scene: bev.get_output(),
    "output": lambda bev, scene: len(bev.output),
    "get_base": lambda bev, scene: bev.get_base(),
    "base": lambda bev, scene: bev.base,
    "getfd": lambda bev, scene: bev.getfd(),
    "fd": lambda bev, scene: bev.fd,
    "fileno": lambda bev, scene: bev.fileno(),
    "setfd": lambda bev, scene: scene.sockets.append(socket.socket(fileno=change(bev, -1))),
    "setfd elsewhere": lambda bev, scene: scene.sockets.append(
        socket.socket(fileno=change(bev, scene.fd()))
    ),
    "replacefd": lambda bev, scene: bev.replacefd(-1),
    "replacefd elsewhere": lambda bev, scene: bev.replacefd(scene.fd()),
    "error": lambda bev, scene: bev.error,
    "write": lambda bev, scene: bev.write(b"written"),
    "write a lot": lambda bev, scene: bev.write(b"w" * 1_000_000),
    "write_buffer": lambda bev, scene: bev.write_buffer(scene.buffer),
    "read": lambda bev, scene: bev.read(3),
    "read_buffer": lambda bev, scene: bev.read_buffer(scene.buffer),
    "connect": lambda bev, scene: bev.connect(scene.listener.address),
    "connect to nobody": lambda bev, scene: (bev.replacefd(-1), bev.connect("/nobody")),
    "socket_connect": lambda bev, scene: bev.socket_connect(None),
    "connect_hostname": lambda bev, scene: (
        bev.replacefd(-1),
        bev.connect_hostname("127.0.0.1", scene.listener.address[1]),
    ),
    "connect_hostname later": lambda bev, scene: (
        bev.replacefd(-1),
        bev.connect_hostname("localhost", scene.listener.address[1], socket.AF_INET),
    ),
    "socket_connect_hostname": lambda bev, scene: bev.socket_connect_hostname(
        None, socket.AF_INET, "127.0.0.1", scene.listener.address[1]
    ),
    "socket_connect_hostname_hints": lambda bev, scene: bev.socket_connect_hostname_hints(
        None, None, "127.0.0.1", scene.listener.address[1]
    ),
    "socket_get_dns_error": lambda bev, scene: bev.socket_get_dns_error(),
    "peername": lambda bev, scene: bev.peername,
    "sockname": lambda bev, scene: bev.sockname,
    "set_option": lambda bev, scene: bev.set_option("SO_KEEPALIVE", True),
    "get_option": lambda bev, scene: bev.get_option("SO_KEEPALIVE"),
    "set_keepalive": lambda bev, scene: bev.set_keepalive(10),
    "stats": lambda bev, scene: bev.stats(),
    "writelines": lambda bev, scene: bev.writelines([b"two ", b"lines"]),
    "sendfile": lambda bev, scene: bev.sendfile(__file__),
    "close_after_flush": lambda bev, scene: bev.close_after_flush(),
    "close_after_flush of output": lambda bev, scene: (
        bev.write(b"w" * 1_000_000),
        bev.close_after_flush(0.01),
    ),
    "close_after_flush and back": lambda bev, scene: (bev.close_after_flush(), again(bev)),
    "shutdown_write": lambda bev, scene: bev.shutdown_write(),
    "set_output_high": lambda bev, scene: (
        bev.set_output_high(5, lambda bev, arg: bev.close()),
        bev.write(b"too much"),
    ),
    "enable": lambda bev, scene: bev.enable(ALL),
    "disable": lambda bev, scene: bev.disable(ALL),
    "disable reading": lambda bev, scene: bev.disable(EV_READ),
    "disable and enable": lambda bev, scene: (bev.disable(ALL), bev.enable(ALL)),
    "get_enabled": lambda bev, scene: bev.get_enabled(),
    "enabled": lambda bev, scene: bev.enabled,
    "set_timeouts": lambda bev, scene: bev.set_timeouts(0.001, 0.001),
    "setwatermark": lambda bev, scene: marks(bev),
    "getwatermark": lambda bev, scene: bev.getwatermark(EV_READ),
    "flush": lambda bev, scene: bev.flush(ALL, 2),
    "trigger": lambda bev, scene: bev.trigger(ALL),
    "trigger later": lambda bev, scene: bev.trigger(
        ALL, BEV_TRIG_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS
    ),
    "trigger_event": lambda bev, scene: bev.trigger_event(BEV_EVENT_EOF),
    "trigger_event later": lambda bev, scene: bev.trigger_event(
        BEV_EVENT_TIMEOUT, BEV_TRIG_DEFER_CALLBACKS
    ),
    "priority_set": lambda bev, scene: bev.priority_set(0),
    "get_priority": lambda bev, scene: bev.get_priority(),
    "priority": lambda bev, scene: bev.priority,
    "set_max_single_read": lambda bev, scene: bev.set_max_single_read(1),
    "set_max_single_write": lambda bev, scene: bev.set_max_single_write(1),
    "get_max_single_read": lambda bev, scene: bev.get_max_single_read(),
    "get_max_single_write": lambda bev, scene: bev.get_max_single_write(),
    "pair": lambda bev, scene: [end.close() for end in bev.pair(scene.base)],
    "pair_get_partner": lambda bev, scene: bev.pair_get_partner(),
    "get_partner": lambda bev, scene: bev.get_partner(),
    "filter": lambda bev, scene: bev.filter().write(b"through a filter"),
    "filter that goes": lambda bev, scene: bev.filter(None, None, BEV_OPT_CLOSE_ON_FREE).close(),
    "filter_new": lambda bev, scene: bev.filter_new().write(b"through a filter"),
    "pair_new": lambda bev, scene: [end.close() for end in bev.pair_new(scene.base)],
    "socket_new": lambda bev, scene: bev.socket_new(scene.base, scene.fd()).replacefd(-1),
    "max_input": lambda bev, scene: bev.max_input,
    "max_output": lambda bev, scene: bev.max_output,
    "resume_output": lambda bev, scene: bev.resume_output,
    "max_lookups": lambda bev, scene: bev.max_lookups,
    "set_input_max": lambda bev, scene: bev.set_input_max(1),
    "set_input_max and none": lambda bev, scene: (bev.set_input_max(1), bev.set_input_max(None)),
    "get_input_max": lambda bev, scene: bev.get_input_max(),
    "set_output_pause": lambda bev, scene: bev.set_output_pause(2, 1),
    "get_output_pause": lambda bev, scene: bev.get_output_pause(),
    "get_underlying": lambda bev, scene: bev.get_underlying(),
    "set_rate_limit": lambda bev, scene: bev.set_rate_limit(RateLimit(2, 3, 4, 5, 0.001)),
    "set_rate_limit and none": lambda bev, scene: (
        bev.set_rate_limit(RateLimit(1)),
        bev.set_rate_limit(None),
    ),
    "get_token_bucket_cfg": lambda bev, scene: bev.get_token_bucket_cfg(),
    "get_read_limit": lambda bev, scene: bev.get_read_limit(),
    "get_write_limit": lambda bev, scene: bev.get_write_limit(),
    "get_max_to_read": lambda bev, scene: bev.get_max_to_read(),
    "get_max_to_write": lambda bev, scene: bev.get_max_to_write(),
    "decrement_read_limit": lambda bev, scene: (
        bev.set_rate_limit(RateLimit(1, tick=0.001)),
        bev.decrement_read_limit(5),
    ),
    "decrement_write_limit": lambda bev, scene: (
        bev.set_rate_limit(RateLimit(1, tick=0.001)),
        bev.decrement_write_limit(5),
    ),
    "add_to_rate_limit_group": lambda bev, scene: bev.add_to_rate_limit_group(
        RateLimitGroup(scene.base, RateLimit(1, 1, 1, 1, 0.001))
    ),
    "remove_from_rate_limit_group": lambda bev, scene: bev.remove_from_rate_limit_group(),
    "__init__": lambda bev, scene: bev.__init__(scene.base),
    "__repr__": lambda bev, scene: repr(bev),
    "__exit__": lambda bev, scene: bev.__exit__(),
}

LISTENER = {
    "close": lambda lev, scene: lev.close(),
    "free": lambda lev, scene: lev.free(),
    "closed": lambda lev, scene: lev.closed,
    "set_cb": lambda lev, scene: lev.set_cb(None),
    "set_cb again": lambda lev, scene: lev.set_cb(scene.accept, scene),
    "set_error_cb": lambda lev, scene: lev.set_error_cb(print),
    "enable": lambda lev, scene: lev.enable(),
    "disable": lambda lev, scene: lev.disable(),
    "get_fd": lambda lev, scene: lev.get_fd(),
    "fd": lambda lev, scene: lev.fd,
    "fileno": lambda lev, scene: lev.fileno(),
    "get_base": lambda lev, scene: lev.get_base(),
    "base": lambda lev, scene: lev.base,
    "address": lambda lev, scene: lev.address,
    "new": lambda lev, scene: Listener.new(
        scene.base, print, None, 2, 5, socket.create_server(("127.0.0.1", 0))
    ).close(),
    "new_bind": lambda lev, scene: Listener.new_bind(
        scene.base, print, None, 2, 5, ("127.0.0.1", 0)
    ).close(),
    "__init__": lambda lev, scene: lev.__init__(scene.base, ("127.0.0.1", 0)),
    "__repr__": lambda lev, scene: repr(lev),
}

BUFFER = {
    "add": lambda buf, scene: buf.add(b"added"),
    "add_buffer": lambda buf, scene: buf.add_buffer(scene.buffer),
    "add_buffer from another": lambda buf, scene: buf.add_buffer(scene.other.input),
    "add_buffer_reference": lambda buf, scene: buf.add_buffer_reference(scene.buffer),
    "add_reference": lambda buf, scene: buf.add_reference(b"lent"),
    "prepend": lambda buf, scene: buf.prepend(b"before"),
    "prepend_buffer": lambda buf, scene: buf.prepend_buffer(scene.buffer),
    "remove": lambda buf, scene: buf.remove(2),
    "remove_buffer": lambda buf, scene: buf.remove_buffer(scene.buffer, 2),
    "drain": lambda buf, scene: buf.drain(2),
    "drain all": lambda buf, scene: buf.drain(len(buf)),
    "readln": lambda buf, scene: buf.readln(),
    "readlines": lambda buf, scene: buf.readlines(),
    "copyout": lambda buf, scene: buf.copyout(5),
    "expand": lambda buf, scene: buf.expand(10_000),
    "pullup": lambda buf, scene: buf.pullup(),
    "peek": lambda buf, scene: buf.peek(),
    "reserve": lambda buf, scene: buf.reserve(10),
    "commit": lambda buf, scene: buf.commit(buf.reserve(10), 5),
    "freeze": lambda buf, scene: (buf.freeze(True), buf.freeze(False)),
    "unfreeze": lambda buf, scene: (buf.unfreeze(True), buf.unfreeze(False)),
    "search": lambda buf, scene: buf.search(b"x"),
    "search_range": lambda buf, scene: buf.search_range(b"x", 1, 2),
    "search_eol": lambda buf, scene: buf.search_eol(),
    "find": lambda buf, scene: buf.find(b"x"),
    "read": lambda buf, scene: buf.read(scene.peer),
    "write": lambda buf, scene: buf.write(scene.peer),
    "write_atmost": lambda buf, scene: buf.write_atmost(scene.peer, 3),
    "writelines": lambda buf, scene: buf.writelines([b"two ", b"pieces"]),
    "add_iovec": lambda buf, scene: buf.add_iovec([b"two ", b"pieces"]),
    "add_file": lambda buf, scene: buf.add_file(__file__),
    "add_file_segment": lambda buf, scene: buf.add_file_segment(FileSegment(__file__)),
    "copyout_from": lambda buf, scene: buf.copyout_from(1, 2),
    "get_length": lambda buf, scene: buf.get_length(),
    "get_contiguous_space": lambda buf, scene: buf.get_contiguous_space(),
    "get_max_read": lambda buf, scene: buf.get_max_read(),
    "set_max_read": lambda buf, scene: buf.set_max_read(1),
    "max_read": lambda buf, scene: buf.max_read,
    "add_cb": lambda buf, scene: buf.add_cb(lambda *args: scene.bev.close()),
    "defer_callbacks": lambda buf, scene: (
        buf.defer_callbacks(scene.base),
        buf.add_cb(lambda *args: scene.bev.close()),
    ),
    "remove_cb": lambda buf, scene: (buf.add_cb(print), buf.remove_cb(print)),
    "remove_cb_entry": lambda buf, scene: buf.remove_cb_entry(buf.add_cb(print)),
    "cb_clear_flags": lambda buf, scene: buf.cb_clear_flags(buf.add_cb(print), 1),
    "cb_set_flags": lambda buf, scene: buf.cb_set_flags(buf.add_cb(note), 1),
    "set_flags": lambda buf, scene: buf.set_flags(1),
    "clear_flags": lambda buf, scene: buf.clear_flags(1),
    "close": lambda buf, scene: buf.close(),
    "free": lambda buf, scene: buf.free(),
    "closed": lambda buf, scene: buf.closed,
}

BASE = {
    "close": lambda base: base.close(),
    "dispatch": lambda base: base.dispatch(),
    "loop": lambda base: base.loop(EVLOOP_NONBLOCK),
    "loopexit": lambda base: base.loopexit(),
    "loopbreak": lambda base: base.loopbreak(),
    "loopcontinue": lambda base: base.loopcontinue(),
    "priority_init": lambda base: base.priority_init(2),
    "reinit": lambda base: base.reinit(),
}


def deeds():
    """Everything there is to do: (name, what to call with the scene)."""
    for name, do in CONNECTION.items():
        yield name, lambda scene, do=do: do(scene.bev, scene)
        yield f"{name} of the other", lambda scene, do=do: do(scene.other, scene)
    for name, do in LISTENER.items():
        yield f"listener {name}", lambda scene, do=do: do(scene.listener, scene)
    for name, do in BUFFER.items():
        yield f"input {name}", lambda scene, do=do: do(scene.bev.input, scene)
        yield f"output {name}", lambda scene, do=do: do(scene.bev.output, scene)
    for name, do in BASE.items():
        yield f"base {name}", lambda scene, do=do: do(scene.base)
