"""What a connection may stand on, and who closes it."""

import contextlib
import gc
import io
import os
import socket
import warnings
import weakref

import pytest

from pyevent import (
    BEV_EVENT_EOF,
    BEV_EVENT_ERROR,
    BEV_EVENT_READING,
    BEV_EVENT_WRITING,
    BEV_OPT_CLOSE_ON_FREE,
    EV_FEATURE_FDS,
    EV_READ,
    BufferEvent,
    EventBase,
    Listener,
    bufferevent_socket_new,
)
from pyevent._native.core import _fail_allocation


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class File:
    """Anything with a fileno()."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd


def test_pipes_carry_both_directions_of_an_echo(streams, base):
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    pipe = io.FileIO(ours_in)
    reader = BufferEvent(base, pipe)
    writer = BufferEvent(base, ours_out, BEV_OPT_CLOSE_ON_FREE)
    os.set_blocking(ours_out, False)
    data = os.urandom(300_000)
    seen = []
    reader.setcb(
        lambda bev, arg: writer.write(bev.read(1 << 20)),
        None,
        lambda bev, what, arg: seen.append(what),
    )
    reader.enable(EV_READ)
    os.set_blocking(theirs_out, False)
    os.set_blocking(theirs_in, False)
    sent, got = 0, bytearray()

    def is_done():
        nonlocal sent
        with contextlib.suppress(BlockingIOError):
            sent += os.write(theirs_out, data[sent : sent + 10_000])
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(theirs_in, 100_000))
        return len(got) == len(data)

    streams.until(is_done)
    assert bytes(got) == data
    os.close(theirs_out)
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_READING | BEV_EVENT_EOF]
    os.close(theirs_in)
    pipe.close()


def test_pipe_without_reader_is_an_error_and_no_signal(streams, base):
    reading, writing = os.pipe()
    os.close(reading)
    seen = []
    bev = BufferEvent(base, writing, BEV_OPT_CLOSE_ON_FREE)
    bev.setcb(eventcb=lambda bev, what, arg: seen.append(what))
    bev.write(b"x")
    streams.until(lambda: seen)
    assert seen == [BEV_EVENT_WRITING | BEV_EVENT_ERROR]
    assert isinstance(bev.error, BrokenPipeError)


def test_terminal_is_served(streams, base):
    master, slave = os.openpty()
    seen = []
    bev = BufferEvent(base, File(master))
    bev.setcb(lambda bev, arg: seen.append(bev.read(100)))
    bev.enable(EV_READ)
    os.write(slave, b"from the terminal")
    streams.until(lambda: seen)
    assert seen == [b"from the terminal"]
    bev.close()
    os.close(master)
    os.close(slave)


def test_socket_gives_its_descriptor_up_with_close_on_free(streams, base):
    near, peer = streams.sockets()
    fd = near.fileno()
    bev = BufferEvent(base, near, BEV_OPT_CLOSE_ON_FREE)
    assert near.fileno() == -1
    assert bev.fd == bev.getfd() == bev.fileno() == fd
    assert not os.get_blocking(fd)
    bev.close()
    assert not is_open(fd)


def test_socket_is_kept_alive_without_close_on_free(streams, base):
    near, peer = streams.sockets()
    fd = near.fileno()
    gone = weakref.ref(near)
    bev = BufferEvent(base, near, options=0)
    del near
    gc.collect()
    assert gone() is not None
    assert not os.get_blocking(fd)
    bev.write(b"alive")
    assert streams.receive(peer, 5) == b"alive"
    sock = gone()
    bev.close()
    assert sock.fileno() == fd  # its own business
    assert is_open(fd)
    sock.close()
    del sock
    assert gone() is None


def test_file_keeps_its_descriptor_and_the_connection_has_a_duplicate(streams, base):
    reading, writing = os.pipe()
    seen = []
    with open(reading, "rb", buffering=0) as file:
        bev = BufferEvent(base, file)
        own = bev.fd
        assert own not in (-1, reading)
        assert not os.get_inheritable(own)
        bev.setcb(lambda bev, arg: seen.append(bev.read(10)))
        bev.enable(EV_READ)
        os.write(writing, b"text")
        streams.until(lambda: seen)
        assert seen == [b"text"]
        bev.close()
        assert not is_open(own)
        os.write(writing, b"more")
        assert file.read(10) == b"more"
    os.close(writing)


def test_descriptor_given_as_a_number_is_left_as_it_is_and_then_closed(base):
    reading, writing = os.pipe()
    bev = BufferEvent(base, reading)
    assert os.get_blocking(reading)
    bev.close()
    assert not is_open(reading)
    os.close(writing)


@pytest.mark.parametrize("given", ["number", "socket", "file"])
def test_construction_that_fails_leaves_the_descriptor_to_its_owner(base, given):
    near, far = socket.socketpair()
    file = near if given == "socket" else File(near.fileno())
    if given == "number":
        file = near.fileno()
    tries = [
        lambda: BufferEvent(base, file, max_input=0),
        lambda: BufferEvent(base, file, max_output="much"),
        lambda: BufferEvent(base, file, max_lookups=1 << 16),
    ]
    for make in tries:
        with pytest.raises((TypeError, ValueError)):
            make()
    bev = None
    for n in range(1, 20):
        assert is_open(near.fileno())
        _fail_allocation(n)
        try:
            bev = BufferEvent(base, file, max_input=5)
            break
        except MemoryError:
            pass
        finally:
            _fail_allocation(0)
    bev.close()
    if given == "file":
        base.close()
        with pytest.raises(RuntimeError, match="closed"):
            BufferEvent(base, file)
        near.close()
    assert not is_open(near.detach())
    far.close()


def test_number_is_closed_by_a_connection_and_by_socket_new_only_if_told_so(base):
    for make, closes in [
        (BufferEvent, True),
        (BufferEvent.socket_new, False),
        (bufferevent_socket_new, False),
        (lambda base, fd: bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE), True),
    ]:
        near, far = socket.socketpair()
        near.setblocking(False)
        fd = near.detach()
        make(base, fd).close()
        assert is_open(fd) is not closes
        if not closes:
            os.close(fd)
        far.close()


def test_socket_new_of_a_subclass_does_not_call_its_constructor(base):
    class Own(BufferEvent):
        def __init__(self, what):
            raise AssertionError("called")

        def on_read(self):
            pass

    with Own.socket_new(base) as bev:
        assert type(bev) is Own
        with pytest.raises(RuntimeError, match="set up already"):
            BufferEvent.__init__(bev, base)

    class Odd(BufferEvent):
        def __new__(cls, *args):
            return 5

    class Same(BufferEvent):
        one = BufferEvent(base)

        def __new__(cls, *args):
            return cls.one

    with pytest.raises(TypeError, match="no BufferEvent"):
        Odd.socket_new(base)
    with pytest.raises(RuntimeError, match="set up already"):
        Same.socket_new(base)


def test_subclass_of_socket_runs_no_code_when_it_gives_its_descriptor_up(base):
    class Loud(socket.socket):
        def detach(self):
            raise AssertionError("called")

        @property
        def _closed(self):
            return False

        @_closed.setter
        def _closed(self, value):
            assert not value

    near, far = socket.socketpair()
    loud = Loud(fileno=near.detach())
    fd = loud.fileno()
    with BufferEvent(base, loud) as bev:
        assert bev.fd == fd
        assert loud.fileno() == -1
    assert not is_open(fd)
    far.close()


def test_dropped_connection_with_a_descriptor_of_its_own_warns(base):
    near, far = socket.socketpair()
    bev = BufferEvent(base, near)
    fd = bev.fd
    with pytest.warns(ResourceWarning, match=rf"unclosed <BufferEvent fd={fd} "):
        del bev
    assert not is_open(fd)
    assert far.recv(1) == b""
    far.close()


def test_connection_that_owns_nothing_is_dropped_silently(streams, base):
    near, _ = streams.sockets()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        BufferEvent(base)
        BufferEvent(base, near.fileno(), options=0)
        BufferEvent.pair(base)
        BufferEvent(base, near).close()
        held = BufferEvent(base, streams.sockets()[0])
        held.setcb(print)
        del held
        gc.collect()


def test_blocking_number_is_warned_of_in_development_mode(run_python):
    code = """
    import os, socket, warnings
    from pyevent import BufferEvent, EventBase

    near, far = socket.socketpair()
    with EventBase() as base, far:
        for change in (None, "setfd", "replacefd"):
            bev = None if change is None else BufferEvent(base)
            try:
                with near.dup() as given:
                    fd = given.fileno()
                    bev.__getattribute__(change)(fd) if bev else BufferEvent(base, fd)
            except RuntimeWarning as warning:
                assert f"descriptor {fd} blocks" in str(warning), warning
            else:
                raise AssertionError(change)
        near.setblocking(False)
        BufferEvent(base, near.detach()).close()
    """
    run_python(code)
    assert (
        run_python(
            """
        import socket
        from pyevent import BufferEvent, EventBase

        with EventBase() as base:
            for one in socket.socketpair():
                BufferEvent(base, one.detach()).close()
        print("quiet")
        """,
            options=("-W", "error"),
        )
        == "quiet\n"
    )


@pytest.mark.parametrize("none", [None, -1])
def test_connection_without_descriptor(base, none):
    bev = BufferEvent(base, none)
    assert bev.fd == -1
    bev.write(b"kept")
    bev.enable(EV_READ)
    assert base.dispatch() == 1
    assert len(bev.output) == 4
    assert repr(bev) == "<BufferEvent fd=-1 input=0 output=4>"


@pytest.mark.parametrize("file", ["3", 1.5, -2, object()])
def test_what_is_no_descriptor_is_refused(base, file):
    with pytest.raises((TypeError, ValueError)):
        BufferEvent(base, file)
    bev = BufferEvent(base)
    with pytest.raises((TypeError, ValueError)):
        bev.setfd(file)
    assert bev.fd == -1


def test_closed_socket_is_refused(base):
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="-1"):
        BufferEvent(base, sock)


# --- changing it -----------------------------------------------------------------------


def test_setfd_goes_on_elsewhere_and_leaves_the_old_one_open(streams, base):
    bev, old_peer = streams.pair()
    near, new_peer = streams.sockets()
    seen = []
    bev.setcb(lambda bev, arg: seen.append(bev.read(100)))
    bev.enable(EV_READ)
    old = socket.socket(fileno=bev.fd)
    fd = near.fileno()
    bev.setfd(near.detach())
    bev.write(b"hello")
    assert bev.fd == fd
    assert streams.receive(new_peer, 5) == b"hello"
    old_peer.send(b"unheard")
    new_peer.send(b"heard")
    streams.until(lambda: seen)
    assert seen == [b"heard"]
    assert is_open(old.fileno())
    old.close()


def test_replacefd_closes_the_old_one(streams):
    bev, old_peer = streams.pair()
    near, new_peer = streams.sockets()
    old = bev.fd
    bev.replacefd(near.detach())
    assert not is_open(old) or bev.fd == old
    assert old_peer.recv(1) == b""
    bev.write(b"hello")
    assert streams.receive(new_peer, 5) == b"hello"


def test_descriptor_that_cannot_be_watched_is_left_to_the_caller(base, tmp_path):
    bev = BufferEvent(base, -1, BEV_OPT_CLOSE_ON_FREE)
    bev.enable(EV_READ)
    with open(tmp_path / "file", "w") as file:
        if base.features & EV_FEATURE_FDS:
            return  # this backend takes any
        with pytest.raises(PermissionError):
            bev.setfd(file.fileno())
        assert bev.fd == -1
        bev.close()
        assert is_open(file.fileno())


@pytest.mark.parametrize("none", [None, -1])
def test_descriptor_can_be_taken_away(streams, base, none):
    bev, _ = streams.pair()
    bev.enable(EV_READ)
    old = bev.fd
    bev.setfd(none)
    assert bev.fd == -1
    assert base.dispatch() == 1
    os.close(old)


def test_socket_given_to_setfd_is_kept_alive_without_close_on_free(streams, base):
    near, peer = streams.sockets()
    gone = weakref.ref(near)
    bev = BufferEvent(base, options=0)
    bev.setfd(near)
    del near
    gc.collect()
    bev.write(b"alive")
    assert streams.receive(peer, 5) == b"alive"
    sock = gone()
    bev.setfd(-1)
    sock.close()
    del sock
    assert gone() is None


@pytest.mark.parametrize("change", ["setfd", "replacefd"])
def test_socket_given_later_gives_its_descriptor_up_with_close_on_free(streams, change):
    bev, _ = streams.pair()
    near, peer = streams.sockets()
    fd, old = near.fileno(), bev.fd
    getattr(bev, change)(near)
    assert near.fileno() == -1
    assert is_open(fd)
    bev.close()
    assert not is_open(fd)
    assert peer.recv(1) == b""
    if change == "setfd":
        os.close(old)


@pytest.mark.parametrize("change", ["setfd", "replacefd"])
def test_file_given_later_keeps_its_descriptor_too(streams, change):
    bev, _ = streams.pair()
    old = bev.fd
    reading, writing = os.pipe()
    with open(reading, "rb") as file:
        getattr(bev, change)(file)
        own = bev.fd
        assert own not in (old, reading)
        bev.close()
        assert is_open(reading)
    assert not is_open(own)
    assert is_open(old) is (change == "setfd")
    os.close(writing)
    if change == "setfd":
        os.close(old)


@pytest.mark.parametrize("options", [0, BEV_OPT_CLOSE_ON_FREE])
@pytest.mark.parametrize("change", ["setfd", "replacefd"])
def test_its_own_descriptor_given_again_changes_nothing(streams, base, options, change):
    near, peer = streams.sockets()
    bev = BufferEvent(base, near, options)
    fd = bev.fd
    getattr(bev, change)(fd)
    if not options and change == "replacefd":
        bev.replacefd(near)
        assert near.fileno() == fd
    assert bev.fd == fd
    assert is_open(fd)
    bev.write(b"still")
    assert streams.receive(peer, 5) == b"still"
    bev.close()
    near.close()
    assert not is_open(fd) or options == 0


@pytest.mark.parametrize("change", ["setfd", "replacefd"])
def test_file_given_to_what_takes_no_descriptor_leaves_nothing_open(base, change):
    end, other = BufferEvent.pair(base, BEV_OPT_CLOSE_ON_FREE)
    reading, writing = os.pipe()
    with open(reading, "rb") as file, pytest.raises(OSError, match="not implemented"):
        getattr(end, change)(file)
    assert end.get_partner() is other
    os.close(writing)


def test_replacefd_closes_the_object_that_owns_the_old_one(streams, base):
    """Else the object would close somebody else's descriptor of that number one day."""
    near, peer = streams.sockets()
    bev = BufferEvent(base, near, options=0)
    old = near.fileno()
    bev.replacefd(-1)
    assert near.fileno() == -1
    assert not is_open(old)
    assert peer.recv(1) == b""


# --- code that runs meanwhile ---------------------------------------------------------


def test_fileno_that_closes_the_base(backend):
    base = EventBase(backend=backend)
    near, far = socket.socketpair()

    class Closing:
        def fileno(self):
            base.close()
            return near.fileno()

    with pytest.raises(RuntimeError, match="closed"):
        BufferEvent(base, Closing())
    with EventBase(backend=backend) as base, pytest.raises(RuntimeError, match="closed"):
        Listener(base, Closing(), print, flags=0)
    with EventBase(backend=backend) as base:
        bev = BufferEvent(base)
        with pytest.raises(RuntimeError, match="closed"):
            bev.setfd(Closing())
    near.close()
    far.close()


def test_fileno_that_sets_the_connection_up(streams, base):
    near, peer = streams.sockets()
    bev = BufferEvent.__new__(BufferEvent)

    class Eager:
        def fileno(self):
            bev.__init__(base)
            return near.fileno()

    with pytest.raises(RuntimeError, match="set up already"):
        bev.__init__(base, Eager())
    assert bev.fd == -1
    near.close()


def test_constructor_runs_once(streams, base):
    bev, _ = streams.pair()
    fd = bev.fd
    with pytest.raises(RuntimeError, match="set up already"):
        bev.__init__(base)
    assert bev.fd == fd


def test_base_must_be_one(base):
    for no_base in (None, 5):
        with pytest.raises(TypeError):
            BufferEvent(no_base)
        with pytest.raises(TypeError):
            Listener(no_base, ("127.0.0.1", 0), print)
    base.close()
    with pytest.raises(RuntimeError, match="closed"):
        BufferEvent(base)
    with pytest.raises(RuntimeError, match="closed"):
        Listener(base, ("127.0.0.1", 0), print)
