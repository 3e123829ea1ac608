"""Tables and plots of benchmarks/results/*.json, for docs/benchmarks.md and README.md.

    python benchmarks/report.py

No figure in those pages is typed: each table stands between `<!-- bench:NAME -->` and
`<!-- /bench -->`, and what is between is written by this.
"""

import json
import re
from pathlib import Path

import svg

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results"
PLOTS = ROOT / "docs/plots"
PAGES = (ROOT / "docs/benchmarks.md", ROOT / "README.md", ROOT / "README.zh-CN.md")


def load(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ratio(row):
    return f"{row['ratio']:.2f} ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"


# --- each benchmark -----------------------------------------------------------------


def lines_case(figures, connections, depth, size=64):
    for case in figures["cases"]:
        if (case["connections"], case["depth"], case["size"]) == (connections, depth, size):
            return case["servers"]
    return None


def lines_table(figures, depth, size=64):
    cases = [c for c in figures["cases"] if (c["depth"], c["size"]) == (depth, size)]
    cases.sort(key=lambda case: case["connections"])
    head = ["server"]
    for case in cases:
        count = case["connections"]
        head += [f"{count:,} connection{'s' if count > 1 else ''}", "x bare (low-high)"]
    last = cases[-1]["connections"] if len(cases) == 1 else 50
    head += [f"p50 / p99 µs at {last}"]
    rows = []
    for name in cases[0]["servers"]:
        row = [name]
        for case in cases:
            figure = case["servers"].get(name)
            row += [f"{figure['cpu_us']:.2f}", ratio(figure)] if figure else ["", ""]
        at = next(c for c in cases if c["connections"] == last)["servers"][name]
        rows.append([*row, f"{at['p50_us']:.0f} / {at['p99_us']:.0f}"])
    return table(head, rows)


def bulk_table(figures):
    head = ["server"]
    for case in figures["cases"]:
        head += [f"{case['size'] // 1024:,} KiB: µs/MiB", "x bare (low-high)", "MiB/s"]
    rows = []
    for name in figures["cases"][0]["servers"]:
        row = [name]
        for case in figures["cases"]:
            figure = case["servers"][name]
            row += [f"{figure['us_per_mib']:.0f}", ratio(figure)]
            row += [f"{figure['mib_per_second']:.0f}"]
        rows.append(row)
    return table(head, rows)


def pipes_table(figures):
    head = [""]
    for case in figures["cases"]:
        head += [f"{case['pipes']:,} pipes: loop µs", "first", "re-add"]
    rows = []
    for name in figures["cases"][0]["programs"]:
        row = [name]
        for case in figures["cases"]:
            figure = case["programs"][name]
            row += [f"{figure[key]:.0f}" for key in ("loop_us", "first_us", "add_us")]
        rows.append(row)
    return table(head, rows)


TIMER_KINDS = ("add", "move", "cancel", "fire", "active", "add_outside")


def timers_table(figures):
    rows = []
    for case in figures["cases"]:
        for name, figure in case["programs"].items():
            values = [figure.get(f"{kind}_ns", 0) for kind in TIMER_KINDS]
            rows.append([f"{case['timers']:,}", name, *(f"{v:.0f}" if v else "" for v in values)])
    kinds = [kind.replace("_", " ") for kind in TIMER_KINDS]
    return table(["pending", "ns each", *kinds], rows)


def churn_table(figures):
    rows = [
        [name, f"{row['cpu_us']:.1f}", ratio(row), f"{row['per_second']:.0f}"]
        for name, row in figures["servers"].items()
    ]
    return table(["server", "CPU µs for each", "x bare (low-high)", "a second"], rows)


def imports_table(figures):
    found = figures["imports"]
    return table(list(found), [[f"{ms:.1f} ms" for ms in found.values()]])


def wheels_table(figures):
    found = figures["wheels"]
    return table(list(found), [[f"{kib:,.0f} KiB" for kib in found.values()]])


def thread_table(figures):
    rows = [
        [name, f"{row['p50_us']:.0f}", f"{row['p99_us']:.0f}", f"{row['per_second']:.0f}"]
        for name, row in figures["servers"].items()
    ]
    return table(["", "p50 µs", "p99 µs", "lines a second"], rows)


def conditions():
    rows = []
    for name in ("lines", "bulk", "pipes", "timers", "churn", "thread", "idle"):
        figures = load(name)
        if figures:
            loads = f"{figures['load_before']} / {figures['load_after']}"
            rows.append([name, figures["date"], str(figures["rounds"]), loads])
    used = ", ".join(f"{k} {v}" for k, v in load("lines")["versions"].items())
    head = ["benchmark", "date", "rounds", "load average before / after"]
    return f"{used}\n\n{table(head, rows)}"


# --- the targets ----------------------------------------------------------------------


# Each is yielded as (against whom, what, ratio, its lowest and highest in one round, the most
# it may be, the bare loop's own ratio: a limit that nobody can be far below).


def target(rows, mine, other, key, what, limit, bare="bare"):
    """Medians, and single rounds; `bare` is None where the bare loop does something else."""
    got = rows[mine][key] / rows[other][key]
    pairs = zip(rows[mine]["runs"][key], rows[other]["runs"][key], strict=True)
    rounds = [a / b for a, b in pairs]
    spread = f"{min(rounds):.2f}-{max(rounds):.2f}"
    its = rows[bare][key] / rows[other][key] if bare in rows and other != bare else None
    return other, what, got, spread, limit, its


def grown(low, high, name, key):
    """What (cost at high / at low) is over the bare loop's own."""
    by = {n: high[n][key] / low[n][key] for n in (name, "bare")}
    return by[name] / by["bare"]


LINE_LIMITS = [
    ("bare", 1, 1.15),
    ("bare", 16, 1.6),
    ("libevent-c", 1, 0.75),
    ("libevent-c", 16, 0.85),
    ("rloop", 1, 1.05),
    ("rloop", 16, 0.15),
    ("uvloop", 1, 0.90),
    ("uvloop", 16, 0.14),
    ("asyncio", 1, 0.72),
    ("asyncio", 16, 0.11),
    ("gevent", 1, 0.30),
    ("gevent", 16, 0.42),
]


def line_targets():
    figures = load("lines")
    for name, depth, limit in LINE_LIMITS:
        for count in (50, 500):
            case = lines_case(figures, count, depth)
            if case and name in case:
                what = f"lines, depth {depth}, {count} connections"
                yield target(case, "pyevent", name, "cpu_us", what, limit)
    for depth in (1, 16):
        low, high = lines_case(figures, 500, depth), lines_case(figures, 5000, depth)
        if low and high:
            got = grown(low, high, "pyevent", "cpu_us")
            what = f"lines, depth {depth}, growth from 500 to 5,000"
            yield "bare", what, got, "", 1.10, None


def bulk_targets():
    for case in (load("bulk") or {"cases": []})["cases"]:
        for name, limit in (("libevent-c", 0.75), ("rloop", 0.95), ("uvloop", 0.85)):
            if name in case["servers"]:
                what = f"bulk, {case['size'] // 1024:,} KiB"
                yield target(case["servers"], "pyevent", name, "us_per_mib", what, limit)


def pipe_targets():
    pipes = (load("pipes") or {"cases": []})["cases"]
    for case in pipes:
        p, what = case["programs"], f"{case['pipes']:,} pipes"
        in_c = (p, "pyevent-c", "libevent-c")
        yield target(*in_c, "loop_us", f"{what}, in C, loop", 1.03)
        yield target(*in_c, "add_us", f"{what}, in C, re-adding", 0.3, bare=None)
        if "uvloop" in p:
            above = p["uvloop"]["loop_us"] - p["bare"]["loop_us"]
            got = (p["pyevent"]["loop_us"] - p["bare"]["loop_us"]) / above
            yield "uvloop", f"{what}, in Python, above the C loop", got, "", 0.5, None
    if len(pipes) > 1:
        ends = (pipes[0]["programs"], pipes[-1]["programs"])
        what = f"pipes, growth from {pipes[0]['pipes']} to {pipes[-1]['pipes']:,}, in "
        yield "bare", what + "C", grown(*ends, "pyevent-c", "loop_us"), "", 1.10, None
        yield "bare", what + "Python", grown(*ends, "pyevent", "loop_us"), "", 1.10, None


def timer_targets():
    for case in (load("timers") or {"cases": []})["cases"]:
        p = case["programs"]
        for mine, name, limit in (("pyevent-c", "libevent-c", 0.7), ("pyevent", "uvloop", 0.33)):
            for kind in TIMER_KINDS:
                if name in p and p[name].get(f"{kind}_ns"):
                    what = f"{case['timers']:,} timers, {kind.replace('_', ' ')}"
                    yield target(p, mine, name, f"{kind}_ns", what, limit)


def targets(only_missed):
    rows = []
    all_targets = [*line_targets(), *bulk_targets(), *pipe_targets(), *timer_targets()]
    for name, what, got, spread, limit, bare in all_targets:
        holds = got <= limit
        if not (only_missed and holds):
            state = "holds" if holds else "**missed**"
            limit_is = f"{bare:.2f}" if bare else ""
            rows.append([name, what, f"{got:.2f}", spread, f"{limit:.2f}", limit_is, state])
    head = ["against", "what", "ratio", "low-high", "at most", "the bare loop's", ""]
    return table(head, rows)


# --- plots and pages ---------------------------------------------------------------------

SHOWN = ("bare", "pyevent", "libevent-c", "rloop", "uvloop", "asyncio", "gevent")


def lines_plot(figures, depth):
    series = {}
    for case in sorted(figures["cases"], key=lambda case: case["connections"]):
        if (case["depth"], case["size"]) == (depth, 64):
            for name, row in case["servers"].items():
                if name in SHOWN:
                    point = (case["connections"], row["cpu_us"], row["low"], row["high"])
                    series.setdefault(name, []).append(point)
    each = "one line" if depth == 1 else f"{depth} lines"
    title = f"ROT13 lines of 64 bytes, {each} under way on each connection"
    return svg.line_chart(title, "connections", "server CPU µs per line", series)


def size_plot(figures):
    series = {}
    for case in figures["cases"]:
        if (case["depth"], case["connections"]) == (1, 50):
            for name, row in case["servers"].items():
                if name in SHOWN:
                    point = (case["size"], row["cpu_us"], row["low"], row["high"])
                    series.setdefault(name, []).append(point)
    title = "ROT13 lines, 50 connections, one line under way"
    return svg.line_chart(title, "bytes of a line", "server CPU µs per line", series)


def pipes_plot(figures):
    series = {}
    for case in figures["cases"]:
        for name, row in case["programs"].items():
            point = (case["pipes"], row["loop_us"], row["low"], row["high"])
            series.setdefault(name, []).append(point)
    title = "1,000 writes through pipes, 100 of them busy"
    return svg.line_chart(title, "pipes", "CPU µs", series)


def blocks():
    """Marker -> its text."""
    found = {"conditions": conditions(), "targets": targets(False), "missed": targets(True)}
    lines = load("lines")
    for depth in (1, 16):
        found[f"lines-{depth}"] = lines_table(lines, depth)
        if any(c["size"] == 1024 and c["depth"] == depth for c in lines["cases"]):
            found[f"lines-{depth}-1024"] = lines_table(lines, depth, 1024)
    makers = {
        "bulk": bulk_table,
        "pipes": pipes_table,
        "timers": timers_table,
        "churn": churn_table,
        "thread": thread_table,
    }
    for name, make in makers.items():
        if load(name):
            found[name] = make(load(name))
    if load("churn"):
        found["imports"] = imports_table(load("churn"))
        found["wheels"] = wheels_table(load("churn"))
    if load("idle"):
        found["idle"] = "```\n" + load("idle")["output"].strip() + "\n```"
    found["readme"] = readme_table(lines)
    return found


def readme_table(figures):
    rows = []
    one, many = lines_case(figures, 50, 1), lines_case(figures, 50, 16)
    for name in SHOWN:
        if name in one:
            rows.append([name, f"{one[name]['cpu_us']:.2f}", f"{one[name]['ratio']:.2f}",
                         f"{many[name]['cpu_us']:.2f}", f"{many[name]['ratio']:.2f}"])  # fmt: skip
    head = ["", "a line at a time: CPU µs", "x bare", "16 at a time: CPU µs", "x bare"]
    return table(head, rows)


def fill(page, found):
    def written(match):
        text = found.get(match[1])
        return f"<!-- bench:{match[1]} -->\n{text}\n<!-- /bench -->" if text else match[0]

    text = page.read_text()
    page.write_text(
        re.sub(r"<!-- bench:([\w-]+) -->\n.*?<!-- /bench -->", written, text, flags=re.S)
    )


def main():
    PLOTS.mkdir(parents=True, exist_ok=True)
    lines, pipes = load("lines"), load("pipes")
    for depth in (1, 16):
        (PLOTS / f"lines-{depth}.svg").write_text(lines_plot(lines, depth))
    if any(c["size"] != 64 for c in lines["cases"]):
        (PLOTS / "size.svg").write_text(size_plot(lines))
    if pipes:
        (PLOTS / "pipes.svg").write_text(pipes_plot(pipes))
    found = blocks()
    for page in PAGES:
        if page.exists():
            fill(page, found)


if __name__ == "__main__":
    main()
