"""The evutil_ calls: each does in Python what it does in C."""

import calendar
import email.utils
import fcntl
import os
import socket
import threading
import time

import pytest

import pyevent
from pyevent import (
    evutil_closesocket,
    evutil_date_rfc1123,
    evutil_gai_strerror,
    evutil_getaddrinfo,
    evutil_make_listen_socket_ipv6only,
    evutil_make_listen_socket_not_ipv6only,
    evutil_make_listen_socket_reuseable,
    evutil_make_listen_socket_reuseable_port,
    evutil_make_socket_closeonexec,
    evutil_make_socket_nonblocking,
    evutil_make_tcp_listen_socket_deferred,
    evutil_parse_sockaddr_port,
    evutil_set_tcp_keepalive,
    evutil_sockaddr_cmp,
    evutil_socketpair,
)

SETTERS = [getattr(pyevent, name) for name in dir(pyevent) if name.startswith("evutil_make_")]


@pytest.fixture
def sock(no_leaked_fds):
    with socket.socket() as sock:
        yield sock


# --- sockets --------------------------------------------------------------------------


def test_a_socket_is_made_non_blocking(sock):
    assert evutil_make_socket_nonblocking(sock) is None
    assert fcntl.fcntl(sock, fcntl.F_GETFL) & os.O_NONBLOCK


def test_a_socket_is_made_close_on_exec(sock):
    os.set_inheritable(sock.fileno(), True)
    evutil_make_socket_closeonexec(sock.fileno())
    assert not os.get_inheritable(sock.fileno())


@pytest.mark.parametrize(
    ("set_option", "level", "option"),
    [
        (evutil_make_listen_socket_reuseable, socket.SOL_SOCKET, "SO_REUSEADDR"),
        (evutil_make_listen_socket_reuseable_port, socket.SOL_SOCKET, "SO_REUSEPORT"),
        (evutil_make_tcp_listen_socket_deferred, socket.IPPROTO_TCP, "TCP_DEFER_ACCEPT"),
    ],
)
def test_an_option_of_listening_sockets_is_set(sock, set_option, level, option):
    if not hasattr(socket, option):
        pytest.skip(f"{option} does not exist here")
    assert sock.getsockopt(level, getattr(socket, option)) == 0
    set_option(sock)
    assert sock.getsockopt(level, getattr(socket, option)) != 0


def test_ipv4_on_an_ipv6_socket_is_switched_off_and_on():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with socket.socket(socket.AF_INET6) as sock:
        evutil_make_listen_socket_ipv6only(sock)
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        evutil_make_listen_socket_not_ipv6only(sock)
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


def test_keepalive_is_switched_on_with_a_time_and_off(sock):
    evutil_set_tcp_keepalive(sock, 1, 30)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
    evutil_set_tcp_keepalive(sock, False)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


@pytest.mark.parametrize("call", SETTERS, ids=lambda call: call.__name__)
def test_what_is_no_socket_is_an_error(call):
    for wrong in (None, "1", 1.0, [], object()):
        with pytest.raises(TypeError):
            call(wrong)
    with pytest.raises(ValueError, match="negative"):
        call(-1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        call(2**20 - 1)
    with socket.socket() as closed:
        pass
    with pytest.raises(ValueError, match="negative"):
        call(closed)


def test_a_pair_is_connected_and_not_inherited(no_leaked_fds):
    one, two = evutil_socketpair(socket.AF_UNIX, socket.SOCK_STREAM, 0)
    assert not os.get_inheritable(one)
    assert not os.get_inheritable(two)
    os.write(one, b"hello")
    assert os.read(two, 100) == b"hello"
    evutil_closesocket(one)
    assert os.read(two, 100) == b""
    evutil_closesocket(two)
    with pytest.raises(OSError, match="supported"):
        evutil_socketpair(socket.AF_INET, socket.SOCK_STREAM, 0)


def test_a_closed_socket_object_knows_it(sock):
    evutil_closesocket(sock)
    assert sock.fileno() == -1
    with pytest.raises(ValueError, match="negative"):
        evutil_closesocket(sock)
    for wrong in (None, "1"):
        with pytest.raises(TypeError, match="sock must be an int or a socket"):
            evutil_closesocket(wrong)
    with open(os.devnull) as file, pytest.raises(TypeError, match="int or a socket"):
        evutil_closesocket(file)  # who closes it afterwards would close another one's


# --- addresses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", ("1.2.3.4", 0)),
        ("1.2.3.4:80", ("1.2.3.4", 80)),
        ("::1", ("::1", 0, 0, 0)),
        ("[::1]", ("::1", 0, 0, 0)),
        ("[::1]:65535", ("::1", 65535, 0, 0)),
    ],
)
def test_a_text_becomes_the_address_that_it_says(text, address):
    assert evutil_parse_sockaddr_port(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3", "[::1", "::1]:80",
     "1.2.3.4\0", "1.2.3.4:80 ", "unix:/tmp/x", "\udcff", "é"],
)  # fmt: skip
def test_a_text_that_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="not a numeric address"):
        evutil_parse_sockaddr_port(text)


def test_addresses_have_an_order():
    ordered = [
        b"\0abstract",
        "/tmp/a",
        "/tmp/b",
        ("1.2.3.4", 80),
        ("1.2.3.4", 8080),
        ("1.2.3.5", 1),
        ("::1", 80),
        ("::2", 1),
    ]
    for i, one in enumerate(ordered):
        for j, two in enumerate(ordered):
            assert evutil_sockaddr_cmp(one, two, True) == (i > j) - (i < j), (one, two)


def test_ports_and_scopes_are_left_out_of_a_comparison():
    assert evutil_sockaddr_cmp(("1.2.3.4", 1), ("1.2.3.4", 2), False) == 0
    assert evutil_sockaddr_cmp(("1.2.3.4", 1), ("1.2.3.4", 2)) == -1
    assert evutil_sockaddr_cmp(("::1", 1, 0, 1), ("::1", 1, 0, 2)) == 0
    for wrong in (None, 1, ("name", 1), ("1.2.3.4",)):
        with pytest.raises((TypeError, ValueError)):
            evutil_sockaddr_cmp(wrong, ("1.2.3.4", 1))
        with pytest.raises((TypeError, ValueError)):
            evutil_sockaddr_cmp("/tmp/a", wrong)


# --- name lookup ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "service", "hints"),
    [
        ("127.0.0.1", 80, {}),
        ("127.0.0.1", "80", {"type": socket.SOCK_STREAM}),
        ("::1", None, {"family": socket.AF_INET6, "flags": socket.AI_NUMERICHOST}),
        (None, "80", {"type": socket.SOCK_DGRAM, "flags": socket.AI_PASSIVE}),
        ("localhost", 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_CANONNAME}),
    ],
)
def test_a_lookup_finds_what_the_socket_module_finds(node, service, hints):
    assert evutil_getaddrinfo(node, service, hints) == socket.getaddrinfo(node, service, **hints)


def test_a_lookup_that_fails_says_why():
    with pytest.raises(socket.gaierror, match="nothing") as caught:
        evutil_getaddrinfo("nothing", 80, {"flags": socket.AI_NUMERICHOST})
    assert caught.value.errno == socket.EAI_NONAME
    assert evutil_gai_strerror(socket.EAI_NONAME) in str(caught.value)
    with pytest.raises(socket.gaierror):
        evutil_getaddrinfo(None, None)


def test_arguments_of_a_lookup_are_looked_at():
    for node, service, hints in [
        (b"127.0.0.1", 80, None),
        ("127.0.0.1", 1.5, None),
        (1, 80, None),
        ("127.0.0.1", 80, 1),
        ("127.0.0.1", 80, {"family": "inet"}),
    ]:
        with pytest.raises(TypeError):
            evutil_getaddrinfo(node, service, hints)
    for node, hints in [("127.0.0.1\0x", None), ("127.0.0.1", {"socktype": 1})]:
        with pytest.raises(ValueError, match="NUL|hints have"):
            evutil_getaddrinfo(node, 80, hints)


def test_lookups_of_several_threads_do_not_disturb_each_other():
    wrong = []

    def look(number):
        for _ in range(200):
            found = evutil_getaddrinfo(f"127.0.0.{number}", number, {"type": socket.SOCK_STREAM})
            if [each[4] for each in found] != [(f"127.0.0.{number}", number)]:
                wrong.append(found)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_every_error_of_a_lookup_has_a_text():
    for name in dir(socket):
        if name.startswith("EAI_"):
            assert evutil_gai_strerror(getattr(socket, name))


# --- dates ------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 784111777, 1709164800, 2**33, -(10**9)])
def test_a_date_is_that_of_http(seconds):
    expected = email.utils.formatdate(seconds, usegmt=True)
    assert evutil_date_rfc1123(time.gmtime(seconds)) == expected
    assert evutil_date_rfc1123(tuple(time.gmtime(seconds))) == expected


def test_a_date_of_nothing_is_now():
    before = int(time.time())
    told = time.strptime(evutil_date_rfc1123(), "%a, %d %b %Y %H:%M:%S GMT")
    assert before <= calendar.timegm(told) <= time.time()


def test_what_is_no_date_is_refused():
    good = list(time.gmtime(0))
    for place, value in [(1, 0), (1, 13), (6, 7), (6, -1), (0, 2**40), (3, -(2**40))]:
        with pytest.raises(ValueError, match="."):
            evutil_date_rfc1123([*good[:place], value, *good[place + 1 :]])
    for wrong in (1, "now", good[:5], ["x", *good[1:]]):
        with pytest.raises(TypeError):
            evutil_date_rfc1123(wrong)
