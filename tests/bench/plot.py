"""A plot of ratios as SVG: a dot for the median, a line for the spread, ticks for must and aim, on a logarithmic axis."""

import math
from html import escape

from figures import verdict

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 940, 370, 70, 64, 22, 44
LOWEST, HIGHEST = 0.1, 4.0
TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4)
COLOURS = {"aim": "#1a7f37", "met": "#0969da", "missed": "#cf222e", "": "#6e7781"}


def x_of(ratio):
    share = math.log(min(max(ratio, LOWEST), HIGHEST) / LOWEST) / math.log(HIGHEST / LOWEST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def text(x, y, words, anchor="start", size=12, fill="#1f2328", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def rule(x1, y1, x2, y2, colour, width=1.0, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>')


def axis(bottom):
    for tick in TICKS:
        x = x_of(tick)
        yield rule(x, TOP - 6, x, bottom, "#1f2328" if tick == 1 else "#d8dee4", 1.4 if tick == 1 else 1)
        yield text(x, bottom + 16, f"{tick:g}", "middle", 11, "#59636e")
    yield text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "ratio to what it is compared with (1 = the same; more is better)",
               "middle", 11, "#59636e")


def legend():
    x, y = LEFT, 40
    for words, name, width in (("aim met", "aim", 78), ("must met", "met", 86), ("not met", "missed", 80), ("no figure set", "", 110)):
        yield f'<circle cx="{x + 4}" cy="{y - 4}" r="4.5" fill="{COLOURS[name]}"/>'
        yield text(x + 13, y, words, size=11, fill="#59636e")
        x += width
    yield rule(x + 4, y - 10, x + 4, y + 2, "#1f2328", 2)
    yield text(x + 11, y, "must", size=11, fill="#59636e")
    yield rule(x + 50, y - 10, x + 50, y + 2, "#1f2328", 2, "2 2")
    yield text(x + 57, y, "aim", size=11, fill="#59636e")


def lane(y, row, figures, colour):
    yield text(LEFT - 12, y + 4, row.title, "end")
    yield rule(x_of(figures["lowest"]), y, x_of(figures["highest"]), y, colour, 2.5)
    for value, dash in ((row.must, ""), (row.aim, "2 2")):
        if value is not None:
            yield rule(x_of(value), y - 7, x_of(value), y + 7, "#1f2328", 2, dash)
    yield f'<circle cx="{x_of(figures["ratio"]):.1f}" cy="{y:.1f}" r="5" fill="{colour}" stroke="#ffffff" stroke-width="1"/>'
    yield text(WIDTH - RIGHT + 14, y + 4, f"{figures['ratio']:.2f}", fill=colour, weight="bold")


def svg(rows):
    """The plot of [(Row, summary)] in the order given."""
    bottom = TOP + STEP * len(rows)
    parts = [f'<rect width="{WIDTH}" height="{bottom + BOTTOM}" fill="#ffffff"/>',
             text(LEFT, 20, "dkfs against native ext4, capture on", size=15, weight="bold"), *legend(), *axis(bottom)]
    for i, (row, figures) in enumerate(rows):
        if i % 2:
            parts.insert(1, f'<rect x="8" y="{TOP + STEP * i:.1f}" width="{WIDTH - 16}" height="{STEP}" fill="#f6f8fa"/>')
        parts += lane(TOP + STEP * (i + 0.5), row, figures, COLOURS[verdict(row, figures)])
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + BOTTOM}" width="{WIDTH}" '
            f'height="{bottom + BOTTOM}" font-family="system-ui, sans-serif">\n' + "\n".join(parts) + "\n</svg>\n")
