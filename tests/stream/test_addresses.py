"""Addresses as arguments: what is one, what is refused and how, code that runs meanwhile."""

import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from pyevent import BufferEvent, Datagram, Listener

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")


@pytest.fixture(params=["Listener", "Datagram", "BufferEvent.connect", "Datagram.connect"])
def use(request, base):
    """Each function that takes an address which must be a path or a tuple."""
    with BufferEvent(base) as bev, Datagram(base, b"", 0) as datagram:
        yield {
            "Listener": lambda address: Listener(base, address).close(),
            "Datagram": lambda address: Datagram(base, address).close(),
            "BufferEvent.connect": bev.connect,
            "Datagram.connect": datagram.connect,
        }[request.param]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:80", "localhost", "localhost:80", "127.0.0.1", "::1", "[::1]:80", "example.org"],
)
def test_host_and_port_as_text_are_refused_with_a_hint(use, tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"neither \(host, port\) nor a path with a slash"):
        use(address)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", [lambda name: f"./{name}", os.fsencode, Path])
def test_relative_paths_are_paths(base, tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    Listener(base, make("name")).close()
    Datagram(base, make("other")).close()
    assert sorted(os.listdir(tmp_path)) == ["name", "other"]


@pytest.mark.parametrize("address", ["/tmp/a\0b", b"/tmp/a\0b", Path("/tmp/a\0b"), b"a\0"])
def test_a_path_has_no_nul(use, address):
    with pytest.raises(ValueError, match="NUL"):
        use(address)
    assert not os.path.exists("/tmp/a")


@pytest.mark.parametrize("address", [("127.0.0.1\0.9", 80), ("::1\0x", 80), ("fe80::1%lo\0x", 80)])
def test_a_host_has_no_nul(use, address):
    with pytest.raises(ValueError, match="numeric"):
        use(address)


@pytest.mark.parametrize("address", [b"\0", "\0"])
def test_the_empty_abstract_name_is_refused(use, address):
    with pytest.raises(ValueError, match="empty"):
        use(address)


@pytest.mark.parametrize("address", ["", b""])
def test_an_empty_path_is_for_datagrams_that_want_any_name(base, address):
    with pytest.raises(ValueError, match="empty"):
        Listener(base, address)
    with pytest.raises(ValueError, match="empty"):
        BufferEvent(base).connect(address)
    datagram = Datagram(base, address)
    if sys.platform == "linux":
        assert isinstance(datagram.address, bytes)
        assert len(datagram.address) == 6  # NUL and five digits
    with pytest.raises(ValueError, match="empty"):
        datagram.send(b"x", address)
    with pytest.raises(ValueError, match="empty"):
        datagram.connect(address)
    datagram.close()


@on_linux
def test_abstract_names_may_fill_the_whole_address(streams, base):
    name = (b"\0pyevent-%d-" % os.getpid()).ljust(108, b"n")
    accepted, messages, events = [], [], []
    listener = Listener(base, name, lambda lev, fd, peer, arg: (os.close(fd), accepted.append(fd)))
    assert listener.address == name
    bev = BufferEvent(base)
    bev.setcb(None, None, lambda bev, what, arg: events.append(what))
    bev.connect(name)
    streams.until(lambda: accepted)
    bev.close()
    listener.close()
    near = Datagram(base, name)
    near.setcb(lambda datagram, batch, arg: messages.extend(batch))
    far = Datagram(base, name[:-1] + b"x")
    far.send(b"sent", near.address)
    streams.until(lambda: messages)
    assert messages == [(b"sent", far.address)]
    far.connect(name)
    far.send(b"connected")
    streams.until(lambda: len(messages) == 2)
    near.close()
    far.close()
    for one in (Listener, Datagram):
        with pytest.raises(ValueError, match="too long"):
            one(base, name + b"n")


@pytest.mark.parametrize(
    ("address", "error", "text"),
    [
        (("127.0.0.1", "80"), TypeError, "port must be an int, not '80'"),
        (("127.0.0.1", 80.0), TypeError, "port must be an int, not 80.0"),
        (("127.0.0.1", None), TypeError, "port must be an int, not None"),
        (("127.0.0.1", 65536), ValueError, "port must be 0 to 65535: 65536"),
        (("127.0.0.1", -1), ValueError, "port must be 0 to 65535: -1"),
        (("127.0.0.1", 1 << 100), ValueError, "port must be 0 to 65535"),
        (("::1", 80, "0", 0), TypeError, "flowinfo must be an int"),
        (("::1", 80, 1 << 20, 0), ValueError, "flowinfo must be 0 to 1048575"),
        (("::1", 80, 0, 1 << 32), ValueError, "scope_id must be 0 to 4294967295"),
        (("::1", 80, 0, []), TypeError, "scope_id must be an int"),
        (("localhost", 80), ValueError, "not a numeric"),
        (("fe80::1%no-such-interface", 80), ValueError, "not a numeric"),
        (("\ud800", 80), ValueError, "surrogates"),
        ((), TypeError, r"\(host, port\)"),
        ((80, "127.0.0.1"), TypeError, r"\(host, port\)"),
    ],
)
def test_each_part_of_a_tuple_names_itself(use, address, error, text):
    with pytest.raises(error, match=text):
        use(address)


def test_parts_may_be_of_any_type_that_is_a_number(base):
    class Number:
        def __index__(self):
            return 0

    class Address(tuple):
        """Looks like another one to whoever asks."""

        def __len__(self):
            return 3

        def __getitem__(self, at):
            raise AssertionError

        def __iter__(self):
            raise AssertionError

    class Text(str):
        def encode(self, *args):
            raise AssertionError

    for address in (("127.0.0.1", Number()), Address(("127.0.0.1", 0)), (Text("127.0.0.1"), 0)):
        listener = Listener(base, address)
        assert listener.address[0] == "127.0.0.1"
        listener.close()


def test_errors_have_the_system_s_text_and_the_address_beside_it(base, tmp_path):
    missing = str(tmp_path / "no" / "where")
    for use in (
        lambda: Listener(base, missing),
        lambda: Datagram(base, missing),
    ):
        with pytest.raises(OSError, match="where") as caught:
            use()
        assert caught.value.errno == errno.ENOENT
        assert caught.value.strerror == os.strerror(errno.ENOENT)
        assert caught.value.filename == missing


def test_a_reply_goes_to_any_address_that_a_message_came_from(streams, base, tmp_path, monkeypatch):
    """Even to a path without a slash, which is no address for anything else."""
    monkeypatch.chdir(tmp_path)
    near = Datagram(base, "./near")
    near.setcb(lambda datagram, batch, arg: [datagram.send(*message) for message in batch])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as far:
        far.bind("far")
        far.setblocking(False)
        far.sendto(b"ping", near.address)
        assert streams.receive(far, 4) == b"ping"
    near.close()


def test_an_address_of_another_family_is_refused_at_once(base, tmp_path):
    udp = Datagram(base, ("127.0.0.1", 0))
    unix = Datagram(base, tmp_path / "unix")
    for one, address in ((udp, "127.0.0.1:80"), (udp, "/a/path"), (unix, ("127.0.0.1", 80))):
        with pytest.raises(OSError, match="not supported") as caught:
            one.send(b"x", address)
        assert caught.value.errno == errno.EAFNOSUPPORT
        assert caught.value.filename == address
    udp.close()
    unix.close()
