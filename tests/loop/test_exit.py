"""The interpreter ends while bases are open: status 0, and nothing on stderr but warnings."""

import re

import pytest

pytestmark = pytest.mark.deadline(120)

CASES = {
    "pending timers": """
        base = EventBase()
        for seconds in (0, 60):
            Event.timer(base, print).add(seconds)
    """,
    "a pending timer in a cycle": """
        base = EventBase()
        ev = Event.timer(base, lambda *_: (base, ev))
        ev.add(0)
    """,
    "an active event": """
        base = EventBase()
        Event.timer(base, lambda *_: print("called")).active()
    """,
    "a base that has run": """
        base = EventBase()
        Event.timer(base, lambda *_: base.loopbreak()).add(0)
        Event.timer(base, print).add(60)
        base.dispatch()
    """,
    "a base in another module": """
        import logging
        logging.base = EventBase()
        logging.ev = Event.signal(logging.base, 10, print)
        logging.ev.add()
    """,
    "a base in a class": """
        class Holder:
            base = EventBase()
            ev = Event(base, 0, EV_READ, print)
    """,
    "a base that only an event refers to": """
        ev = Event.timer(EventBase(), print)
        ev.add(60)
    """,
    "a base with a handler that logs": """
        import logging
        base = EventBase(exception_handler=lambda *args: logging.error("late"))
        Event.timer(base, lambda *_: 1 / 0).add(0)
    """,
    "a base that an exit function closes": """
        import atexit
        base = EventBase()
        Event.timer(base, print).add(60)
        atexit.register(base.close)
    """,
    "a base that an exit function runs": """
        import atexit
        base = EventBase()
        Event.timer(base, lambda *_: None).add(0.01)
        atexit.register(base.dispatch)
    """,
    "a finalizer that uses the base": """
        class Late:
            def __del__(self):
                try:
                    base.loopexit()
                    ev.add(0)
                except (NameError, RuntimeError, TypeError, AttributeError):
                    pass  # gone already
        base = EventBase()
        ev = Event.timer(base, print, Late())
        ev.add(60)
    """,
}

THREADS = {
    "a daemon thread inside dispatch": """
        Event.timer(base, print).add(60)
        start(base)
    """,
    "a daemon thread inside a busy dispatch": """
        Event(base, -1, EV_PERSIST, lambda *_: None).add(1e-9)
        start(base)
    """,
    "a daemon thread with callbacks in C": """
        Event(base, -1, EV_PERSIST, max, 0).add(1e-9)
        start(base)
    """,
    "a daemon thread that fails and logs": """
        import logging
        logging.basicConfig(filename=os.devnull)
        def fail(fd, what, calls):
            calls.append(1)
            return len(calls) % 50 == 0 or 1 / 0
        Event(base, -1, EV_PERSIST, fail, []).add(0.0001)
        start(base)
    """,
    "two daemon threads": """
        Event.timer(base, print).add(60)
        start(base)
        base = EventBase()
        Event(base, -1, EV_PERSIST, lambda *_: None).add(0.0001)
        start(base)
    """,
    "a daemon thread that has the only reference": """
        Event.timer(base, print).add(60)
        start(base)
        del base
    """,
    "a daemon thread, and others that wake it": """
        ev = Event(base, -1, EV_PERSIST, lambda *_: None)
        ev.add(60)
        def wake(ev=ev):
            while True:
                ev.active()
        threading.Thread(target=wake, daemon=True).start()
        start(base)
    """,
    "a daemon thread, and the end while it waits for the GIL": """
        Event(base, -1, EV_PERSIST, lambda *_: time.sleep(0)).add(0.0001)
        start(base)
        time.sleep(0.005)
    """,
}

PREAMBLE = """
import os, sys, threading, time
from pyevent import *

def start(base):
    thread = threading.Thread(target=base.dispatch, daemon=True)
    thread.start()
    while thread.is_alive() and not base.running:
        time.sleep(0.0001)

"""


def program(case):
    lines = case.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    return PREAMBLE + "\n".join(line[indent:] for line in lines)


def check_quiet(done, warnings):
    """No line of stderr but those of at most so many ResourceWarnings."""
    text = done.stderr
    text = re.sub(r"\S+: ResourceWarning: unclosed <EventBase [^\n]*\n", "", text)
    text = re.sub(r"ResourceWarning: Enable tracemalloc[^\n]*\n", "", text)
    text = re.sub(r"(?m)^  \S.*\n", "", text)  # the warning's source line
    assert text == "", done.stderr
    assert done.stderr.count("unclosed <EventBase") <= warnings
    assert done.stdout == ""


@pytest.mark.parametrize("case", CASES)
def test_interpreter_ends_quietly_with(run_python, case):
    check_quiet(run_python(program(CASES[case])), warnings=1)


@pytest.mark.parametrize("case", THREADS)
def test_interpreter_ends_quietly_despite(run_python, case):
    code = program("base = EventBase()\n" + program(THREADS[case]).removeprefix(PREAMBLE))
    for _ in range(4):  # it is a race
        check_quiet(run_python(code), warnings=2)


def test_interpreter_ends_quietly_with_a_thread_that_is_joined(run_python):
    code = """
        base = EventBase()
        base.loopexit(0.02)
        threading.Thread(target=base.dispatch).start()
    """
    check_quiet(run_python(program(code)), warnings=1)


def test_a_dropped_base_warns_at_exit_where_asked(run_python):
    code = program("base = EventBase()")
    assert "unclosed <EventBase" in run_python(code).stderr
    assert run_python(code, options=()).stderr == ""


def test_exit_in_a_callback_ends_the_process_with_its_status(run_python):
    code = """
        with EventBase() as base:
            Event.timer(base, lambda *_: sys.exit(7)).add(0)
            Event.timer(base, print).add(60)
            base.dispatch()
    """
    assert run_python(program(code), status=7).stderr == ""


def test_ctrl_c_ends_the_process_as_usual(run_python):
    code = """
        import signal
        with EventBase() as base:
            threading.Timer(0.02, signal.raise_signal, [signal.SIGINT]).start()
            Event.timer(base, print).add(60)
            base.dispatch()
    """
    done = run_python(program(code), status=-2)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
