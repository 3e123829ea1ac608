"""A listener that is out of descriptors: it says so, sleeps, and goes on by itself."""

PRELUDE = """
    import errno, os, resource, socket, sys
    from pyevent import *

    base = EventBase(backend=sys.argv[1], exception_handler=RAISE)
    accepted, failures, waits = [], [], []
    listener = Listener(base, ("127.0.0.1", 0), lambda l, fd, address, arg: accepted.append(fd))
    PrepareWatcher(base, lambda watcher, timeout, arg: waits.append(timeout))
    clients = [socket.socket() for _ in range(3)]
    for client in clients:
        client.connect(listener.address)

    def run(seconds):
        base.loopexit(seconds)
        base.dispatch()

    def exhaust():
        "From now on no further descriptor can be opened."
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        fillers = []
        try:
            while True:
                fillers.append(os.dup(0))
        except OSError as exc:
            assert exc.errno == errno.EMFILE
        return fillers

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    while len(accepted) < len(clients):
        base.loop(EVLOOP_ONCE)
    while accepted:
        os.close(accepted.pop())
"""


def test_error_callback_and_recovery(backend, run_python):
    out = run_python(
        PRELUDE
        + """
    listener.set_error_cb(lambda l, error, arg: failures.append((l, error, arg)))
    clients.append(socket.socket())
    late = clients[-1]
    late.setblocking(False)
    fillers = exhaust()
    late.connect_ex(listener.address)
    del waits[:]
    run(0.25)
    told, error, arg = failures[0]
    assert told is listener and arg is None
    assert isinstance(error, OSError) and error.errno == errno.EMFILE, error
    assert accepted == []
    assert 2 <= len(failures) <= 6, failures   # after 10, 20, 40, 80 ms
    assert len(waits) <= 2 * len(failures) + 3, waits  # it sleeps
    for fd in fillers:
        os.close(fd)
    while not accepted:
        base.loop(EVLOOP_ONCE)
    late.setblocking(True)
    os.write(accepted[0], b"welcome")
    assert late.recv(10) == b"welcome"
    print(len(failures))
    os.close(accepted[0])
    for client in clients: client.close()
    base.close()
    """,
        backend,
    )
    assert int(out) >= 2


def test_without_error_callback_it_is_logged_once(backend, run_python):
    run_python(
        PRELUDE
        + """
    import logging
    class Records(logging.Handler):
        def __init__(self):
            super().__init__()
            self.texts = []
        def emit(self, record):
            self.texts.append(record.getMessage())
    records = Records()
    logging.getLogger("pyevent").addHandler(records)
    logging.getLogger("pyevent").propagate = False
    late = socket.socket()
    late.setblocking(False)
    fillers = exhaust()
    late.connect_ex(listener.address)
    run(0.1)
    for fd in fillers:
        os.close(fd)
    while not accepted:
        base.loop(EVLOOP_ONCE)
    os.close(accepted[0])
    for client in [late, *clients]: client.close()
    base.close()
    assert len(records.texts) == 1, records.texts
    assert "Too many open files" in records.texts[0]
    """,
        backend,
    )


def test_closing_a_resting_listener_in_the_error_callback(backend, run_python):
    run_python(
        PRELUDE
        + """
    def give_up(l, error, arg):
        failures.append(error)
        l.close()
    listener.set_error_cb(give_up)
    late = socket.socket()
    late.setblocking(False)
    fillers = exhaust()
    late.connect_ex(listener.address)
    assert base.dispatch() == 1
    assert len(failures) == 1
    for client in [late, *clients]: client.close()
    base.close()
    """,
        backend,
    )


def test_exception_in_the_error_callback_leaves_a_listener_that_goes_on(backend, run_python):
    run_python(
        PRELUDE
        + """
    def fail(l, error, arg):
        failures.append(error)
        raise ZeroDivisionError
    listener.set_error_cb(fail)
    late = socket.socket()
    late.setblocking(False)
    fillers = exhaust()
    late.connect_ex(listener.address)
    try:
        base.dispatch()
    except ZeroDivisionError:
        pass
    assert not listener.closed
    for fd in fillers:
        os.close(fd)
    while not accepted:
        base.loop(EVLOOP_ONCE)
    os.close(accepted[0])
    for client in [late, *clients]: client.close()
    base.close()
    """,
        backend,
    )
