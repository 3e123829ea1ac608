"""A small writer of line charts as SVG: logarithmic both ways, a series for each competitor."""

import math
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
COLOURS = {
    "bare": "#999999",
    "pyevent": "#d62728",
    "pyevent-c": "#ff9896",
    "libevent-c": "#1f77b4",
    "libuv-c": "#17becf",
    "libev-c": "#bcbd22",
    "rloop": "#8c564b",
    "uvloop": "#2ca02c",
    "asyncio": "#9467bd",
    "gevent": "#e377c2",
}


def ticks(low, high):
    """1, 2, 5, 10, ... from below `low` to above `high`."""
    found = []
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        found += [m * 10.0**exponent for m in (1, 2, 5)]
    inner = [t for t in found if low <= t <= high]
    below = [t for t in found if t < low]
    above = [t for t in found if t > high]
    return below[-1:] + inner + above[:1]


def number(value):
    return f"{value:g}" if value < 10000 else f"{value / 1000:g}k"


def spread(wanted, gap=14):
    """Heights near those wanted, in their order, at least `gap` apart."""
    placed = []
    for y in wanted:
        placed.append(max(y, placed[-1] + gap) if placed else y)
    return placed


def line_chart(title, x_label, y_label, series):
    """`series`: name -> list of (x, y, low, high); returns the text of the picture."""
    points = [p for line in series.values() for p in line]
    xs = sorted({p[0] for p in points})
    y_ticks = ticks(min(p[2] for p in points), max(p[3] for p in points))
    x_low, x_high = math.log10(xs[0]), math.log10(xs[-1])
    y_low, y_high = math.log10(y_ticks[0]), math.log10(y_ticks[-1])

    def x_of(x):
        part = (math.log10(x) - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y_of(y):
        return (
            HEIGHT - BOTTOM - (math.log10(y) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        )

    middle = (LEFT + WIDTH - RIGHT) / 2
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" style="font-size: 15px">{escape(title)}</text>',
        f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>',
        f'<g transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">',
        f'<text text-anchor="middle">{escape(y_label)}</text></g>',
    ]
    for t in y_ticks:
        out.append(
            f'<path d="M{LEFT} {y_of(t):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y_of(t) + 4:.1f}" text-anchor="end">{number(t)}</text>'
        )
    for x in xs:
        out.append(
            f'<text x="{x_of(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{number(x)}</text>"
        )
    ordered = sorted(series, key=lambda name: y_of(series[name][-1][1]))
    labels = spread([y_of(series[name][-1][1]) for name in ordered])
    for name, label_y in zip(ordered, labels, strict=True):
        colour = COLOURS.get(name, "#333333")
        width = 3 if name == "pyevent" else 1.5
        line = " ".join(f"{x_of(p[0]):.1f},{y_of(p[1]):.1f}" for p in series[name])
        out.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )
        for x, y, low, high in series[name]:
            out.append(
                f'<path d="M{x_of(x):.1f} {y_of(low):.1f}V{y_of(high):.1f}" stroke="{colour}"/>'
                f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>'
            )
        end = x_of(series[name][-1][0])
        out.append(
            f'<text x="{end + 8:.1f}" y="{label_y + 4:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])
