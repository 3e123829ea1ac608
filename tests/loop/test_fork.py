"""A forked child disturbs no event of its parent, and can go on with what it inherited.

Each test runs in a Python of its own: a pytest that has threads had better not fork.
"""

import pytest

PREAMBLE = """
import gc, os, signal, socket, sys, threading, time
import pyevent
from pyevent import *

backend = sys.argv[1]
near, far = socket.socketpair()
near.setblocking(False)


def fork(child):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        child()
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def join(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def new_base():
    return EventBase(backend=backend, exception_handler=RAISE)

"""

# What the parent must still see after each kind of child.
PARENT = """
seen = []
base = new_base()
reader = Event(base, near, EV_READ | EV_PERSIST, lambda *_: seen.append(near.recv(9)))
reader.add()
timer = Event(base, -1, EV_PERSIST, lambda *_: seen.append("tick"))
timer.add(60)
taken = Event.signal(base, signal.SIGUSR1, lambda *_: seen.append("signal"))
taken.add()
base.loop(EVLOOP_NONBLOCK)


def check_parent():
    far.send(b"x")
    os.kill(os.getpid(), signal.SIGUSR1)
    base.loop(EVLOOP_ONCE)
    base.loop(EVLOOP_NONBLOCK)
    assert sorted(map(str, seen)) == ["b'x'", "signal"], seen
    # Whatever else is in the kernel's set would be reported now, for ever.
    before = time.process_time()
    base.loopexit(0.05)
    base.dispatch()
    assert time.process_time() - before < 0.04, "the loop spins"
    # Another thread still wakes it; a loopbreak before dispatch() would be nothing.
    base.once(-1, EV_TIMEOUT, lambda *_: threading.Timer(0.02, base.loopbreak).start())
    base.dispatch()
    assert base.got_break()
    base.close()

"""

CHILDREN = {
    "exits": "pass",
    "deletes everything": "reader.delete(); timer.delete(); taken.delete()",
    "closes the events": "reader.close(); timer.close(); taken.close()",
    "closes the base": "base.close(); assert reader.closed",
    "drops everything": """
        global base, reader, timer, taken
        del base, reader, timer, taken
        gc.collect()
    """,
    "closes the sockets and the base": "near.close(); far.close(); base.close()",
    "adds and deletes": """
        more = Event(base, far, EV_WRITE, print)
        more.add()
        reader.delete()
        reader.add(5)
        base.loop(EVLOOP_NONBLOCK)
        more.close()
    """,
    "goes on with reinit": "base.reinit(); base.loop(EVLOOP_NONBLOCK); base.close()",
    "wakes and breaks": "base.loopbreak(); base.loopexit(); timer.active()",
    "forks again": "join(fork(base.close)); base.close()",
}


def program(*parts):
    return PREAMBLE + "\n".join(parts)


def indented(code):
    lines = code.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join("    " + line[indent:] for line in lines)


@pytest.fixture
def run(run_python, backend):
    def run(*parts):
        options = ("-X", "dev", "-W", "ignore::DeprecationWarning")  # fork with threads
        done = run_python(program(*parts), backend, options=options)
        lines = [x for x in done.stderr.splitlines() if "EventBase" in x or "tracemalloc" not in x]
        return "\n".join(lines)

    return run


@pytest.mark.parametrize("child", CHILDREN)
def test_parent_is_undisturbed_by_a_child_that(run, child):
    body = f"def child():\n{indented(CHILDREN[child])}\n"
    err = run(PARENT, body, "join(fork(child))", "check_parent()")
    assert "Error" not in err


@pytest.mark.parametrize("child", CHILDREN)
def test_parent_is_undisturbed_by_a_child_of_its_callback_that(run, child):
    """There the base is running, and is not closed."""
    body = indented(CHILDREN[child].replace("base.close()", "None").replace("closed", "base"))
    body = body.replace("fork(base.close)", "fork(taken.close)")
    body = body.replace("base.reinit(); base.loop(EVLOOP_NONBLOCK)", "base.reinit()")
    body = body.replace("base.loop(EVLOOP_NONBLOCK)", "None").replace("del base, ", "del ")
    code = f"""
def child():
{body}

def callback(fd, what, arg):
    join(fork(child))

Event.timer(base, callback).add(0)
base.loop(EVLOOP_ONCE)
check_parent()
"""
    run(PARENT, code)


def test_child_uses_an_inherited_base_afresh(run):
    run(
        PARENT,
        """
def child():
    other, mine = socket.socketpair()
    Event(base, other, EV_READ, lambda *_: seen.append("own")).add()
    mine.send(b"x")
    far.send(b"y")  # the inherited event works, too
    os.kill(os.getpid(), signal.SIGUSR1)
    while len(seen) < 3:
        base.loop(EVLOOP_ONCE)
    assert sorted(map(str, seen)) == ["b'y'", "own", "signal"], seen
    thread = threading.Timer(0.02, base.loopbreak)
    base.once(-1, EV_TIMEOUT, lambda *_: thread.start())
    base.dispatch()
    thread.join()
    base.close()

join(fork(child))
check_parent()
""",
    )


def test_child_goes_on_inside_a_callback(run):
    """Both go on with the loop they are in, each with descriptors of its own."""
    run("""
seen = []
base = new_base()

def callback(fd, what, arg):
    global child_pid, pair
    child_pid = os.fork()
    pair = socket.socketpair()
    seen.append("forked")
    Event(base, pair[0], EV_READ, lambda *_: seen.append(pair[0].recv(9))).add()

Event.timer(base, callback).add(0)
Event.timer(base, lambda *_: seen.append("later")).add(0.01)
Event.timer(base, lambda *_: pair[1].send(b"x")).add(0.02)
assert base.dispatch() == 1
assert seen == ["forked", "later", b"x"], seen
assert signal.set_wakeup_fd(-1) == -1
base.close()
if child_pid == 0:
    os._exit(0)
join(child_pid)
""")


def test_signals_wake_a_child_that_goes_on_inside_a_callback(run):
    run("""
base = new_base()
seen = []
signal.signal(signal.SIGUSR1, lambda *_: (seen.append(os.getpid()), base.loopbreak()))

def callback(fd, what, arg):
    global child_pid
    child_pid = os.fork()

Event.timer(base, callback).add(0)
Event.timer(base, print).add(60)
pid = os.getpid()
threading.Timer(0.1, lambda: (os.kill(child_pid, signal.SIGUSR1), time.sleep(0.1),
                              os.kill(pid, signal.SIGUSR1))).start()
base.dispatch()
assert base.got_break()
assert seen == [os.getpid()], seen
if child_pid == 0:
    base.close()
    os._exit(0)
join(child_pid)
base.close()
""")


def test_child_of_a_callback_restores_the_wakeup_fd(run):
    run("""
base, inner = new_base(), new_base()
fd = near.fileno()
signal.set_wakeup_fd(fd)

def callback(fd, what, arg):
    global child_pid
    child_pid = os.fork()

def run_inner(*_):
    Event.timer(inner, callback).add(0)
    Event.timer(inner, lambda *_: None).add(0.01)
    inner.dispatch()

Event.timer(base, run_inner).add(0)
Event.timer(base, lambda *_: None).add(0.03)
base.dispatch()
assert signal.set_wakeup_fd(-1) == fd
base.close()
inner.close()
if child_pid == 0:
    os._exit(0)
join(child_pid)
""")


def test_fork_from_another_thread_while_the_loop_waits(run):
    """In the child the thread of the loop does not exist: the base is not running there."""
    run("""
seen = []
base = new_base()
Event(base, near, EV_READ, lambda *_: seen.append(near.recv(9))).add()

def child():
    assert not base.running
    mine, other = socket.socketpair()
    Event(base, mine, EV_READ, lambda *_: seen.append(mine.recv(9))).add()
    other.send(b"child")
    base.loop(EVLOOP_ONCE)
    assert seen == [b"child"], seen
    assert base.get_num_events(EVENT_BASE_COUNT_ADDED) == 1
    base.close()

thread = threading.Thread(target=base.dispatch)
thread.start()
while not base.running:
    time.sleep(0.001)
time.sleep(0.02)
join(fork(child))
assert base.running
far.send(b"parent")
thread.join()
assert seen == [b"parent"], seen
base.close()
""")


def test_fork_from_another_thread_while_the_main_one_dispatches(run):
    """The child gives back signal.set_wakeup_fd and takes none of the parent's signals."""
    run("""
seen = []
base = new_base()
signal.signal(signal.SIGUSR1, lambda *_: seen.append("handler"))
Event.timer(base, print).add(60)

def child():
    assert not base.running
    assert signal.set_wakeup_fd(-1) == -1
    base.loopexit(0.01)
    assert base.dispatch() == 0
    base.close()

def work():
    while not base.running:
        time.sleep(0.001)
    time.sleep(0.02)
    join(fork(child))
    os.kill(os.getpid(), signal.SIGUSR1)
    while not seen:
        time.sleep(0.001)
    base.loopbreak()

thread = threading.Thread(target=work)
thread.start()
base.dispatch()
thread.join()
assert seen == ["handler"]
base.close()
""")


def test_child_leaves_no_descriptor_open(run):
    run("""
def fds():
    return len(os.listdir("/proc/self/fd"))

if not os.path.exists("/proc/self/fd"):
    sys.exit()
empty = fds()
base = new_base()
Event.signal(base, signal.SIGUSR1, print).add()
base.loop(EVLOOP_NONBLOCK)
base.loopexit(0)
base.dispatch()

def child():
    assert fds() == empty, (fds(), empty)
    base.loop(EVLOOP_NONBLOCK)
    base.close()
    assert fds() == empty

join(fork(child))
base.close()
assert fds() == empty
""")


def test_handling_can_be_turned_off_and_reinit_does_it_then(run):
    """Nothing is closed in the child until it asks; what is left alone is the parent's."""
    run("""
seen = []
base = new_base()
ev = Event(base, near, EV_READ | EV_PERSIST, lambda *_: seen.append(near.recv(9)))
ev.add()
base.loop(EVLOOP_NONBLOCK)
assert pyevent.set_fork_handling(False) is True
assert pyevent.set_fork_handling(False) is False

def open_fds():
    found = []
    for fd in range(30):
        try:
            found.append((fd, os.fstat(fd).st_ino))
        except OSError:
            pass
    return found

before = open_fds()

def child():
    assert open_fds() == before or backend == "kqueue"  # which no child inherits
    base.reinit()
    far.send(b"x")
    base.loop(EVLOOP_ONCE)
    assert seen == [b"x"], seen
    base.close()

join(fork(child))
far.send(b"y")
base.loop(EVLOOP_ONCE)
assert seen == [b"y"], seen
assert pyevent.set_fork_handling(True) is False
join(fork(lambda: base.close()))
far.send(b"z")
base.loop(EVLOOP_ONCE)
assert seen == [b"y", b"z"], seen
""")


@pytest.mark.parametrize("in_child", [True, False], ids=["in a child", "in the parent itself"])
def test_reinit_in_a_callback_leaves_signals_able_to_wake(run, in_child):
    run(f"""
seen = []
base = new_base()

def killer():
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGUSR1)

def note(number, frame):
    seen.append(number)
    base.loopexit()

def callback(fd, what, arg):
    if {in_child}:
        pid = os.fork()
        if pid:
            join(pid)
            base.loopexit()
            return
        arg.append("child")
    base.reinit()
    threading.Thread(target=killer).start()

pyevent.set_fork_handling(False)
signal.signal(signal.SIGUSR1, note)
who = []
Event.timer(base, callback, who).add(0)
limit = Event.timer(base, lambda *_: os._exit(9))
limit.add(20)
base.dispatch()
assert signal.set_wakeup_fd(-1) == -1
assert seen == ([signal.SIGUSR1] if who or not {in_child} else []), seen
limit.delete()
base.close()
sys.stdout.flush()
if who:
    os._exit(0)
""")


# Where the loop of another thread can be when this one forks: each has it call `stop`.
PLACES = {
    "an event's callback": "Event(base, near, EV_READ | EV_PERSIST, stop).add()",
    "a timer": "Event(base, -1, EV_PERSIST, stop).add(0.001)",
    "a prepare watcher": "PrepareWatcher(base, stop)",
    "a check watcher": "CheckWatcher(base, stop)",
    "the first of several watchers": "[PrepareWatcher(base, stop) for _ in range(3)]",
    "a call from a thread": "base.call_soon_threadsafe(stop)",
    "a finalizer of an event": "Event.timer(base, print).finalize(stop)",
    "a finalizer of an argument": "Event.timer(base, nothing, Dying()).add(0)",
    "a signal event": "Event.signal(base, signal.SIGUSR1, stop).add(); "
    "[os.kill(os.getpid(), signal.SIGUSR1) for _ in range(3)]",
    "a read callback": "bev.setcb(stop, None, None); bev.enable(EV_READ)",
    "a write callback": "bev.setcb(None, stop, None); bev.write(b'x')",
    "an output callback": "bev.output.add_cb(stop); base.call_soon_threadsafe(bev.write, b'x')",
    "an exception handler": "base.exception_handler = stop; Event.timer(base, fail).add(0)",
}


@pytest.mark.parametrize("place", PLACES)
def test_fork_from_another_thread_while_the_loop_is_in(run, place):
    """The child goes on with a base that is idle there, the parent with its loop."""
    run(f"""
base = new_base()
base.exception_handler = lambda base, context: None
entered, forked = threading.Event(), threading.Event()
parent = os.getpid()

def nothing(*args):
    pass

def fail(*args):
    raise ValueError

def stop(*args):
    if os.getpid() == parent and not entered.is_set():
        entered.set()
        assert forked.wait(20)

class Dying:
    def __del__(self):
        stop()

mine, peer = socket.socketpair()
mine.setblocking(False)
bev = BufferEvent(base, mine)
far.send(b"x")
peer.send(b"x")
Event(base, -1, EV_PERSIST, nothing).add(0.005)
{PLACES[place]}

def closes():
    assert not base.running
    base.close()

def runs_and_closes():
    base.loopexit(0.02)
    assert base.dispatch() == 0
    base.close()

def drops():
    global base, bev
    del base, bev
    gc.collect()

thread = threading.Thread(target=base.dispatch)
thread.start()
assert entered.wait(20)
for child in (closes, runs_and_closes, drops):
    join(fork(child))
forked.set()
seen = []
base.call_soon_threadsafe(seen.append, 1)
base.call_soon_threadsafe(base.loopexit)
thread.join(20)
assert not thread.is_alive() and seen == [1]
base.close()
""")


def test_fork_from_another_thread_while_the_base_is_being_closed(run):
    """What was left of it is closed in the child."""
    run("""
base = new_base()
entered, forked = threading.Event(), threading.Event()

class Dying:
    def __del__(self):
        if not entered.is_set():
            entered.set()
            assert forked.wait(20)

for _ in range(3):
    Event.timer(base, print, Dying()).add(60)

def child():
    assert not base.closed
    base.close()
    assert base.closed

thread = threading.Thread(target=base.close)
thread.start()
assert entered.wait(20)
assert base.closed
join(fork(child))
forked.set()
thread.join(20)
assert not thread.is_alive()
""")


def test_a_child_that_forks_in_another_thread_runs_the_base_there(run):
    run("""
base = new_base()
base.loopexit(60)

def child():
    def grandchild():
        assert not base.running
        base.loopbreak()
        base.loopexit(0.01)
        assert base.dispatch() == 0
        base.close()
    ready = threading.Event()
    base.call_soon_threadsafe(ready.set)
    thread = threading.Thread(target=base.dispatch)
    thread.start()
    assert ready.wait(20)
    join(fork(grandchild))
    base.loopbreak()
    thread.join(20)
    assert not thread.is_alive()
    base.close()

ready = threading.Event()
base.call_soon_threadsafe(ready.set)
thread = threading.Thread(target=base.dispatch)
thread.start()
assert ready.wait(20)
join(fork(child))
base.loopbreak()
thread.join(20)
assert not thread.is_alive()
base.close()
""")


def test_grandchild_forked_before_the_child_used_its_base_can_close_it(run_python, backend):
    """The child's loop goes on in the callback that has forked: its base has no descriptors
    yet when another thread of the child forks once more."""
    done = run_python(
        """
        import os, sys, threading
        from pyevent import EventBase

        def grandchild():
            pid = os.fork()
            if pid == 0:
                base.close()
                os._exit(0 if base.closed else 1)
            statuses.append(os.waitpid(pid, 0)[1])

        def fork():
            pid = os.fork()
            if pid != 0:
                statuses.append(os.waitpid(pid, 0)[1])
                return
            thread = threading.Thread(target=grandchild)
            thread.start()
            thread.join()
            os._exit(0 if statuses == [0] else 1)

        statuses = []
        base = EventBase(backend=sys.argv[1])
        base.call_soon_threadsafe(fork)
        base.dispatch()
        base.close()
        assert statuses == [0], statuses
        """,
        backend,
        options=(),
    )
    assert "Error" not in done.stderr
