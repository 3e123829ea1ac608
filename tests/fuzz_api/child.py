"""Random calls from one seed: child.py SEED STEPS PROGRESS

Each call stands in the file PROGRESS, a ring of lines, before it is made. The seed decides the
calls, their arguments, and whether threads, signals or forks take part.
"""

import contextlib
import faulthandler
import gc
import itertools
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))

import deeds
import flat
import ledger
import methods
from methods import BLOCKING, CONSTRUCTORS, LEFT_OUT
from world import CLASSES, MAKERS, World

import pyevent

LINES, WIDTH = 40, 240  # the ring of the last calls
DEEPEST = 3  # calls from callbacks from callbacks
MOST_OBJECTS = 25
HOSTILE = deeds.VALUES
WRONG = list(flat.WRONG.items())
FLAT = [method for name, method in methods.flat_functions() if name not in LEFT_OUT]
METHODS = {cls: methods.methods_of(cls) for cls in CLASSES}
BACKENDS = [name for name in pyevent.backends() if name in ("epoll", "poll", "select")]


class Fuzz:
    def __init__(self, seed, steps, file):
        self.random = random.Random(seed)
        self.seed, self.left, self.file = seed, steps, file
        self.numbers = itertools.count()
        self.depth = threading.local()
        self.errors = []
        self.is_child = False
        self.end = None  # of a child: when it is too late
        self.threads = seed % 5 == 1
        self.signals = seed % 5 == 2
        self.forks = seed % 10 in (3, 6)  # the latter with threads
        self.worlds = [self.new_world(), self.new_world()]

    # -- what is there

    def new_world(self):
        w = World(backend=self.random.choice(BACKENDS))
        w.hook = self.hook
        w.errors = self.errors
        return w

    def hook(self, *args):
        """In callbacks and finalizers."""
        if self.left <= 0:  # one that is always due may keep the exit of its loop from its turn
            for w in list(self.worlds):
                with contextlib.suppress(Exception):
                    w.base.loopbreak()
        elif self.random.random() < 0.3:
            self.step()

    def any_object(self, w):
        names = list(w.made)
        return w.made.get(self.random.choice(names)) if names else None

    # -- a step

    def step(self):
        depth = getattr(self.depth, "n", 1)  # a deed's thread is inside a call of another one
        if depth >= DEEPEST or self.left <= 0:
            return
        self.depth.n = depth + 1
        self.left -= 1
        w = self.random.choice(self.worlds)
        try:
            if not w.made:
                raise LookupError
            self.random.choices(DOES, WEIGHTS)[0](self, w, depth)
        except SystemError as exc:
            self.errors.append(repr(exc))
        except Exception:
            pass
        finally:
            self.depth.n = depth

    def tell(self, depth, text):
        number = next(self.numbers)
        thread = "" if threading.current_thread() is threading.main_thread() else "thread "
        line = f"{number} {'child ' if self.is_child else ''}{thread}{'  ' * depth}{text}"
        data = line.encode(errors="replace")[: WIDTH - 1].ljust(WIDTH - 1) + b"\n"
        os.pwrite(self.file, data, number % LINES * WIDTH)

    def call(self, w, depth):
        if self.random.random() < 0.2:
            method, subject = self.random.choice(FLAT), None
        else:
            subject = self.any_object(w)
            method = self.method_of(subject)
        w.subject = subject
        told, values = [], []
        for parameter in method.parameters:
            text, value = self.argument(w, method, parameter)
            told.append(text)
            values.append(value)
        self.tell(depth, f"{method}({', '.join(told)}) of {w.base.method}: {name_of(w, subject)}")
        if method.name in BLOCKING and self.threads:
            w.base.loopexit(0.001)  # another thread's loop may take one
        try:
            result = method.run(w, subject, values)
            if type(result) in CLASSES and len(w.made) < MOST_OBJECTS:
                w.made[f"result {next(self.numbers)}"] = result
        finally:
            if method.name in LISTENERS_OF_LOGS:
                pyevent.event_set_log_callback(None)

    def method_of(self, subject):
        cls = next(cls for cls in type(subject).__mro__ if cls in METHODS)
        if cls in CONSTRUCTORS and self.random.random() < 0.03:
            return methods.constructor_of(cls)
        return self.random.choice(METHODS[cls])

    def argument(self, w, method, parameter):
        kind = self.random.random()
        if parameter == "self":
            cls = method.owner
            return "self", next((one for one in w.made.values() if isinstance(one, cls)), None)
        if kind < 0.70:
            return "", method.value(w, parameter)
        if kind < 0.78:
            other = self.random.choice(self.worlds)
            name = self.random.choice(list(other.made))
            return name, other.made[name]
        if kind < 0.92:
            hostile, deed = self.random.choice(HOSTILE), self.random.choice(deeds.DEEDS)
            doing = self.step if self.random.random() < 0.5 else lambda: deed(w)
            trap = deeds.Trap(lambda: self.left > 0 and doing(), self.random.randint(1, 2))
            valid = method.value(w, parameter)
            return f"{hostile.__name__}/{deed.__name__}", hostile(trap, valid, w)
        text, value = self.random.choice(WRONG)
        return text, value(w)

    def make(self, w, depth):
        if len(w.made) >= MOST_OBJECTS:
            self.drop(w, depth)
            return
        name = self.random.choice([name for name in MAKERS if name != "all"])
        self.tell(depth, f"make {name}")
        w.made[f"{name} {next(self.numbers)}"] = MAKERS[name](w)

    def turn(self, w, depth):
        self.tell(depth, f"turn {w.base!r}")
        w.turn()

    def run_for_a_while(self, w, depth):
        self.tell(depth, f"dispatch {w.base!r}")
        w.base.loopexit(0.003)
        w.base.dispatch()

    def drop(self, w, depth):
        name = self.random.choice([name for name in w.made if name != "base"])
        self.tell(depth, f"drop {name}")
        w.subject = None
        del w.made[name]

    def close(self, w, depth):
        name = self.random.choice([name for name in w.made if name != "base"])
        self.tell(depth, f"close {name}")
        w.close(w.made[name])

    def replace(self, w, depth):
        """Another world; the old one ends."""
        if depth or self.threads:  # it may be running
            return
        self.tell(depth, f"end {w.base!r}")
        self.worlds.remove(w)
        w.end()
        self.worlds.append(self.new_world())

    def bytes(self, w, depth):
        """From and to the other ends."""
        one = self.random.choice(w.sockets)
        self.tell(depth, "send and receive")
        if self.random.random() < 0.1:
            one.close()
        elif self.random.random() < 0.5:
            data = b"%x" % self.random.getrandbits(64) + b"\r\n" * self.random.randint(0, 3)
            one.send(data, socket.MSG_DONTWAIT)
        else:
            one.recv(1000, socket.MSG_DONTWAIT)

    def collect(self, w, depth):
        self.tell(depth, "collect")
        gc.collect()

    def deed(self, w, depth):
        deed = self.random.choice(deeds.DEEDS)
        if self.is_child and self.had_threads and deed is deeds.thread:
            return  # ASan's own locks may be held by a thread of the parent (before GCC 14)
        w.subject = self.any_object(w)
        self.tell(depth, f"{deed.__name__} {name_of(w, w.subject)}")
        deed(w)

    def fork(self, w, depth):
        if not self.forks or self.is_child or self.random.random() > 0.3:
            return
        if self.threads and self.left < 10:
            return  # one that ends has locks of ASan's allocator: the child would wait for them
        self.tell(depth, "fork")
        pid = os.fork()
        if pid == 0:  # goes on where it is, for some steps
            self.had_threads = self.threads
            self.is_child, self.threads, self.left = True, False, min(self.left, 30)
            self.end = time.monotonic() + 15
            self.watch()
            return
        end = time.monotonic() + 20
        done, status = os.waitpid(pid, os.WNOHANG)
        while not done and time.monotonic() < end:
            time.sleep(0.002)
            done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            status = "it did not end"
        if status:
            self.errors.append(f"forked child: status {status}")

    # -- the run

    def run(self):
        threads = []
        if self.threads:
            threads = [threading.Thread(target=self.steps) for _ in range(2)]
            threads.append(threading.Thread(target=self.break_loops, args=(list(threads),)))
        if self.signals:
            signal.signal(signal.SIGVTALRM, lambda *args: self.hook())
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.003, 0.003)
        for one in threads:
            one.start()
        self.watch()
        self.steps()
        for one in threads if not self.is_child else ():
            one.join()
        self.finish()

    def steps(self):
        is_main = threading.current_thread() is threading.main_thread()  # in a child every one is
        self.depth.n = 0
        while self.left > 0:
            self.step()
        if self.is_child and not is_main:
            self.finish()  # forked in this thread, which is the only one

    def break_loops(self, threads):
        """No thread waits for the loopexit() that another one's loop has taken."""
        while self.left > 0 or any(one.is_alive() for one in threads):
            self.break_all()
            time.sleep(0.01)

    def break_all(self):
        for w in list(self.worlds):
            for one in list(w.made.values()):
                if isinstance(one, pyevent.EventBase):
                    with contextlib.suppress(Exception):
                        one.loopbreak()

    def watch(self):
        """Nor does the only thread for one that a loop inside its loop has taken, or that
        another base was told."""
        signal.signal(signal.SIGALRM, self.still_there)
        signal.setitimer(signal.ITIMER_REAL, 1, 0.25)

    def still_there(self, signum, frame):
        self.break_all()
        if self.end is not None and time.monotonic() > self.end:
            faulthandler.dump_traceback()
            os._exit(14)

    def finish(self):
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.left = 0
        self.tell(0, "the end")
        for w in self.worlds:
            w.hook = lambda *args: None
            w.end()
        if self.is_child:
            self.tell(0, "the child's end")
            sys.stderr.write("".join(f"{text}\n" for text in self.errors))
            sys.stderr.flush()
            os._exit(1 if self.errors else 0)


def name_of(w, one):
    return next((name for name, made in list(w.made.items()) if made is one), type(one).__name__)


LISTENERS_OF_LOGS = {"set_log_callback", "enable_debug_logging"}
DOES = [
    Fuzz.call, Fuzz.make, Fuzz.turn, Fuzz.run_for_a_while, Fuzz.drop, Fuzz.close, Fuzz.replace,
    Fuzz.bytes, Fuzz.collect, Fuzz.deed, Fuzz.fork,
]  # fmt: skip
WEIGHTS = [50, 16, 8, 3, 3, 3, 1, 8, 1, 5, 2]


def main(seed, steps, progress):
    faulthandler.enable()
    kept = ledger.quiet()
    books = ledger.Ledger()
    fuzz = Fuzz(int(seed), int(steps), os.open(progress, os.O_WRONLY))
    fuzz.run()
    problems = fuzz.errors + kept
    fuzz.worlds.clear()
    del fuzz
    left = books.difference()
    problems += [left] if left.startswith("left behind") else []  # descriptors may be anybody's
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stderr.flush()
    os._exit(1 if problems else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
