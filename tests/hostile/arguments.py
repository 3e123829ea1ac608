"""An argument whose conversion closes, replaces or changes what the call is about."""

from deeds import DEEDS, VALUES, Trap
from methods import CONSTRUCTORS, LEFT_OUT, constructor_of, flat_functions, methods_of
from world import CLASSES, SUBJECTS, World

import pyevent

BACKENDS = [name for name in pyevent.backends() if name in ("epoll", "poll", "select")]
MOST_HITS = 3


def everything():
    """(method, name of its subject or None)"""
    for cls in CONSTRUCTORS:
        yield constructor_of(cls), CLASSES[cls]
    for name, cls in SUBJECTS.items():
        for method in methods_of(cls):
            yield method, name
    for name, method in flat_functions():
        if name not in LEFT_OUT and "self" not in method.parameters:
            yield method, None


def cases(group):
    part, parts = map(int, group.split("/"))
    for number, (method, subject) in enumerate(everything()):
        if number % parts != part:
            continue
        for place, parameter in enumerate(method.parameters):
            for hostile in VALUES:
                label = f"{subject}: {method}({parameter}: {hostile.__name__})"
                one = Conversions(method, subject, place, hostile, BACKENDS[number % len(BACKENDS)])
                yield f"{label} does nothing", one.probe
                for deed in DEEDS:
                    for nth in range(1, MOST_HITS + 1):
                        where = f"{label} does {deed.__name__} at {nth}"
                        yield where, lambda d=deed, n=nth, one=one: one.run(d, n)


class Conversions:
    def __init__(self, *what):
        self.method, self.subject, self.place, self.hostile, self.backend = what
        self.hits = None

    def probe(self):
        self.hits = 0
        return self.call(None, 0)

    def run(self, deed, nth):
        if self.hits is None:  # the one before has ended the process
            self.probe()
        if nth <= self.hits:
            return self.call(deed, nth)
        return ()

    def call(self, deed, nth):
        w = World(backend=self.backend)
        trap = Trap(deed and (lambda: deed(w)), 0)
        method, subject = self.method, self.subject
        if subject is not None:
            cls = SUBJECTS[subject]
            w.subject = cls.__new__(cls) if method.name == "__init__" else w[subject]
            w.made["subject"] = w.subject
        values = method.values(w)
        values[self.place] = self.hostile(trap, values[self.place], w)
        trap.hits, trap.nth = 0, nth
        try:
            made = method.run(w, w.subject, values)
            w.made["result"] = made
        except SystemError as exc:
            w.errors.append(repr(exc))
        except Exception:
            pass
        if deed is None:
            self.hits = min(trap.hits, MOST_HITS)
        trap.deed = values = made = None
        return finish(w)


def finish(w):
    """Whatever has happened, the loop turns once more and all closes."""
    try:
        if not w.base.closed:
            w.turn()
    except SystemError as exc:
        w.errors.append(f"the next turn: {exc!r}")
    except Exception:
        pass
    return w.end()
