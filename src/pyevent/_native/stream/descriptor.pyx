"""Descriptors that are given to us: whose they are, and how they are made ready."""

from cpython.object cimport PyObject
from libc.errno cimport ESPIPE

from pyevent._native.base.arguments cimport check_err, fd_of
from pyevent._native.c.stream cimport *

import os
import stat
import sys


cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        pass
    bint PyObject_TypeCheck(object, PyTypeObject *)
    int PyErr_WarnFormat(object category, Py_ssize_t stack_level, const char *format,
                         ...) except -1


cdef bint dev_mode = sys.flags.dev_mode


cdef int fd_owned(object file, bint closes) except -2:
    """The descriptor of `file`; -1 for none. With `closes` it is to be ours: an int as it is,
    a socket's when give_up() is called, of any other object a duplicate, which
    drop_taken() closes if it is not served after all. May run any code."""
    cdef int fd
    if file is None or (isinstance(file, int) and file == -1):
        return -1
    fd = fd_of(file)
    if closes and not isinstance(file, int) and not is_socket(file):
        fd = os.dup(fd)
    return fd


cdef int fd_taken(object file, bint closes) except -2:
    """The same for a connection: what an object stands for is made non-blocking, a number is
    its user's to prepare."""
    cdef int fd = fd_owned(file, closes)
    cdef int err
    if fd < 0:
        return fd
    if isinstance(file, int):
        if dev_mode:
            warn_if_blocking(fd)
        return fd
    err = pe_sock_nonblock(fd)
    if err < 0:
        drop_taken(file, fd, closes)
        check_err(err, file)
    return fd


cdef void drop_taken(object file, int fd, bint closes) noexcept:
    """It has come to nothing: what fd_owned() has made is closed, all else is its owner's."""
    if closes and fd >= 0 and not isinstance(file, int) and not is_socket(file):
        pe_close(fd)


cdef object give_up(object file, int fd, bint closes):
    """`fd` of `file` is in use: who is to be kept alive for it, or None. With `closes`
    it is ours now. Runs no code: socket.socket.detach() would, in a subclass."""
    if fd < 0 or isinstance(file, int):
        return None
    if not closes:
        return file
    if is_socket(file):
        socket_type().detach(file)
    return None


cdef int warn_if_blocking(int fd) except -1:
    try:
        blocks = os.get_blocking(fd)
    except OSError:
        return 0  # who uses it will be told
    if blocks:
        PyErr_WarnFormat(RuntimeWarning, 1, "descriptor %d blocks: a connection of it may stop "
                         "the loop; os.set_blocking(fd, False) it first", fd)
    return 0


cdef bint is_socket(object file) noexcept:
    """Whether it is an object of the socket module. Runs no code."""
    cdef object kind = socket_type()
    return kind is not None and PyObject_TypeCheck(file, <PyTypeObject *>kind)


cdef object socket_type():
    """The C type beneath socket.socket; None: nobody has loaded it, so there are no sockets."""
    cdef object module = sys.modules.get("_socket")
    cdef object kind = None if module is None else getattr(module, "socket", None)
    return kind if isinstance(kind, type) else None


cdef int refuse_stream(int fd, object file) except -1:
    """What has no length cannot be sent as a file: reading it would stop the loop."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode):
        raise OSError(ESPIPE, f"no regular file, but a stream of bytes: {file!r}")
    return 0


cdef tuple socket_option(str name):
    """The level and the number of an option by its name."""
    import socket  # who names options has it loaded
    level = {
        "SO": socket.SOL_SOCKET,
        "TCP": socket.IPPROTO_TCP,
        "IP": socket.IPPROTO_IP,
        "IPV6": socket.IPPROTO_IPV6,
    }.get(name.partition("_")[0])
    number = getattr(socket, name, None)
    if level is None or not isinstance(number, int):
        raise ValueError(f"this system has no socket option {name!r}")
    return level, number
