"""Both styles as a type checker sees them: `mypy --strict` passes over this file, and it runs.

Each `type: ignore` is a mistake that has to be found: one that is not would be unused.
"""

import signal
import socket
from typing import TYPE_CHECKING, Any

import pyevent
from pyevent import (
    BEV_EVENT_EOF,
    BEV_OPT_CLOSE_ON_FREE,
    EV_PERSIST,
    EV_READ,
    EV_TIMEOUT,
    EVBUFFER_EOL_LF,
    EVLOOP_NONBLOCK,
    EVLOOP_ONCE,
    BevEvent,
    BufferEvent,
    Event,
    EventBase,
    EventFlag,
    Feature,
    Listener,
    bufferevent_enable,
    bufferevent_setcb,
    bufferevent_socket_new,
    event_add,
    event_base_dispatch,
    event_base_free,
    event_base_loopexit,
    event_base_new,
    event_del,
    event_free,
    event_new,
    event_pending,
    evtimer_new,
)


def classes(near: socket.socket, far: socket.socket) -> list[bytes]:
    received: list[bytes] = []

    def on_read(fd: int, what: EventFlag, sock: socket.socket) -> None:
        received.append(sock.recv(100))
        base.loopexit(0)

    def on_failure(base: EventBase, context: dict[str, Any]) -> None:
        base.default_exception_handler(context)

    with EventBase(backend=pyevent.backends()[-1], exception_handler=pyevent.RAISE) as base:
        base.exception_handler = on_failure
        reader = Event(base, near, EV_READ | EV_PERSIST, on_read, near)
        reader.add()
        reader.add(timeout=1.5)
        usr1 = Event.signal(base, signal.SIGUSR1, lambda fd, what, arg: None)
        pending: EventFlag = reader.pending | usr1.pending
        assert pending & EV_READ
        features: Feature = base.features
        assert features is not None
        far.send(b"classes")
        status: int = base.dispatch()
        assert status == 0
        base.loop(EVLOOP_NONBLOCK)
        if TYPE_CHECKING:
            reader.add("1")  # type: ignore[arg-type]
            Event(base, near, EV_READ, lambda: None)  # type: ignore[misc, arg-type]
            Event(near, base, EV_READ, on_read)  # type: ignore[arg-type]
            base.dispach()  # type: ignore[attr-defined]
            reader.fd = 1  # type: ignore[misc]
    return received


def streams(near: socket.socket, far: socket.socket) -> list[bytes]:
    lines: list[bytes] = []

    def on_read(bev: BufferEvent, arg: str) -> None:
        while (line := bev.input.readln(EVBUFFER_EOL_LF)) is not None:
            lines.append(line)

    def on_event(bev: BufferEvent, what: BevEvent, arg: str) -> None:
        assert what & BEV_EVENT_EOF
        bev.close()

    class Client(BufferEvent):
        def on_event(self, what: BevEvent) -> None:
            self.close()

    with EventBase(exception_handler=pyevent.RAISE) as base:
        server = bufferevent_socket_new(base, near.dup(), BEV_OPT_CLOSE_ON_FREE)
        bufferevent_setcb(server, on_read, None, on_event, "arg")
        bufferevent_enable(server, EV_READ)
        with Client(base, far) as client:
            client.write(b"line\n")
            while not lines:
                base.loop(EVLOOP_ONCE)
        listener = Listener(base, ("127.0.0.1", 0), lambda lev, fd, address, arg: None)
        assert isinstance(listener.fd, int)
        listener.close()
        if TYPE_CHECKING:
            bufferevent_enable(base, EV_READ)  # type: ignore[arg-type]
            client.write("text")  # type: ignore[arg-type]
            server.setcb(on_event)  # type: ignore[arg-type]
    return lines


def flat_names(near: socket.socket, far: socket.socket) -> list[bytes]:
    received: list[bytes] = []

    def on_read(fd: int, what: EventFlag, base: EventBase) -> None:
        received.append(near.recv(100))
        event_base_loopexit(base, None)

    base = event_base_new()
    ev = event_new(base, near, EV_READ, on_read, base)
    timer: Event = evtimer_new(base, lambda fd, what, arg: None)
    event_add(timer, 0.001)
    event_add(ev, None)
    pending: EventFlag = event_pending(ev, EV_READ | EV_TIMEOUT)
    assert pending == EV_READ
    far.send(b"flat names")
    status: int = event_base_dispatch(base)
    assert status == 0
    event_del(ev)
    event_free(ev)
    event_free(timer)
    event_base_free(base)
    if TYPE_CHECKING:
        event_add(base, 1)  # type: ignore[arg-type]
        pyevent.event_ad(ev)  # type: ignore[attr-defined]
    return received


if __name__ == "__main__":
    near, far = socket.socketpair()
    with near, far:
        print(classes(near, far), flat_names(near, far), streams(near, far))
