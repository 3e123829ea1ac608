"""Sockets that a service manager has opened before it started the program."""

import os

FIRST = 3  # the first descriptor, by sd_listen_fds(3)


def listen_fds(unset_environment: bool = True) -> list[int]:
    """The descriptors that systemd, or who speaks its protocol, has handed over.

    By sd_listen_fds(3): ``LISTEN_FDS`` says how many there are, from descriptor 3 on, if
    ``LISTEN_PID`` is this process. They become close-on-exec and non-blocking. An empty list:
    there are none. Each can be given to :class:`~pyevent.Listener` or
    :class:`~pyevent.Datagram`; it may be a socket that listens already, which is fine.

    :param unset_environment: remove the variables, so that no child takes them for its own. A
        second call finds nothing then.
    :raises OSError: EBADF: one of them is not open.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    pid, count = (os.environ.get(name, "") for name in names[:2])
    if unset_environment:
        for name in names:
            os.environ.pop(name, None)
    if not (pid.isdecimal() and count.isdecimal() and int(pid) == os.getpid()):
        return []
    fds = []
    for fd in range(FIRST, FIRST + int(count)):
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)
        fds.append(fd)
    return fds
