"""Runs one group of hostile calls: child.py MODULE GROUP PROGRESS START [SKIPPED ...]

Each call's number and name stands in the file PROGRESS before it is made, so that a crash or
a hang has a name. Failures go to stdout, a line of JSON each. Numbers are the same in each run.
"""

import faulthandler
import gc
import importlib
import json
import os
import signal
import sys

SECONDS = 20  # for one call


def main(module, group, progress, start, *skipped):
    import ledger

    faulthandler.enable()
    faulthandler.register(signal.SIGALRM, chain=True)  # its default action ends the process
    kept = ledger.quiet()
    cases = importlib.import_module(module).cases(group)
    out = os.dup(1)
    os.dup2(2, 1)
    file = os.open(progress, os.O_WRONLY)
    books = ledger.Ledger()
    number, skipped = -1, set(map(int, skipped))
    for number, (label, case) in enumerate(cases):
        if number < int(start) or number in skipped:
            continue
        os.pwrite(file, f"{number} {label}\n".ljust(400).encode(), 0)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            problems = list(case() or ())
        except BaseException as exc:
            problems = [f"the test itself: {exc!r} line {exc.__traceback__.tb_next.tb_lineno}"]
            del exc
        case = None
        left = books.difference()
        problems += kept + ([left] if left else [])
        kept.clear()
        for problem in problems:
            os.write(out, (json.dumps(f"{label}: {problem}") + "\n").encode())
    os.write(out, (json.dumps({"calls": number + 1}) + "\n").encode())
    signal.setitimer(signal.ITIMER_REAL, 0)
    gc.collect()


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # threads of lookups may still be there
