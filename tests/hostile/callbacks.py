"""From each callback that a call can reach the objects of the call are closed or replaced.

So are they from the finalizer of each callback, argument and lent memory that the call drops.
"""

import gc

from arguments import BACKENDS, finish
from deeds import DEEDS, FORKS, Trap
from methods import Method, constructor_of, methods_of
from world import BARE, CLASSES, SUBJECTS, World

MOST_HITS = 5
MOST_FORKS = 2
MOST_HITS_OF_ALL = 30  # where one call reaches the callbacks of all objects


def everything():
    for cls, name in CLASSES.items():
        if cls.__name__ != "BufferCallback":
            yield constructor_of(cls), name
    for name, cls in [*SUBJECTS.items(), *BARE.items()]:
        if name not in BARE:
            for method in methods_of(cls):
                yield method, name
        for name_of in ("dropped", "dropped and collected"):
            yield Method(None, name_of, None, []), name
    for method in methods_of(SUBJECTS["base"]):
        if method.name in ("dispatch", "loop", "close", "reinit", "foreach_event", "dump_events"):
            yield method, "all"
    yield Method(None, "dropped and collected", None, []), "all"


def cases(group):
    part, parts = map(int, group.split("/"))
    for number, (method, subject) in enumerate(everything()):
        if number % parts != part:
            continue
        one = Callbacks(method, subject, BACKENDS[number % len(BACKENDS)])
        yield f"{subject}: {method} with callbacks that do nothing", one.probe
        for deed in (*DEEDS, *FORKS):
            most = min(one.most, MOST_FORKS) if deed in FORKS else one.most
            for nth in range(1, most + 1):
                label = f"{subject}: {method}: callback {nth} does {deed.__name__}"
                yield label, lambda d=deed, n=nth, one=one: one.run(d, n)


class Callbacks:
    def __init__(self, method, subject, backend):
        self.method, self.subject, self.backend = method, subject, backend
        self.hits = None
        self.most = MOST_HITS_OF_ALL if subject == "all" else MOST_HITS

    def probe(self):
        self.hits = 0
        return self.call(None, 0)

    def run(self, deed, nth):
        if self.hits is None:
            self.probe()
        if nth <= self.hits:
            return self.call(deed, nth)
        return ()

    def call(self, deed, nth):
        w = World(backend=self.backend)
        method, subject = self.method, self.subject
        if method.name == "__init__":
            w.subject = method.owner.__new__(method.owner)
        else:
            w.subject = w[subject]
        w.made["subject"] = w.subject
        values = method.values(w)
        trap = w.hook = Trap(deed and (lambda: deed(w)), nth)
        self.act(w, values)
        if deed is None:
            self.hits = min(trap.hits, self.most)
        trap.deed = values = None
        return finish(w)

    def act(self, w, values):
        """The call, the same call again with other callbacks, and two turns of the loop."""
        method, subject = self.method, w.subject
        if method.call is None:
            subject = None
            self.drop(w)
        for _ in range(2 if method.call is not None else 0):
            try:
                w.made["result"] = method.run(w, subject, values)
            except SystemError as exc:
                w.errors.append(repr(exc))
            except (TypeError, AttributeError) as exc:
                if self.hits == 0 and "writable" not in str(exc):
                    w.errors.append(f"a valid call is refused: {exc!r}")
            except Exception:
                pass
            try:
                values = method.values(w)
            except Exception:
                break
        values = subject = None
        for _ in range(2):
            try:
                w.turn()
            except SystemError as exc:
                w.errors.append(repr(exc))
            except Exception:
                pass

    def drop(self, w):
        base = w.base
        w.made.clear()
        w.made["base"] = base
        w.subject = None
        if self.method.name == "dropped and collected":
            gc.collect()
