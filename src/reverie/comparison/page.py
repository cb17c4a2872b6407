"""The comparison as one page of HTML that needs nothing else: tables, curves as SVG, grids of samples inside."""

import base64
from collections.abc import Sequence
from html import escape

from .runs import Run
from .tables import Table, shared_span, unit

COLOURS = ("#1f6f8b", "#c8553d", "#5b8c2a", "#7b4b94", "#b8860b", "#444444", "#d16ba5", "#2a9d8f")
WIDTH, HEIGHT, LEFT, BELOW = 760, 320, 64, 36
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; margin: 0.5rem 0 } th, td { text-align: left; padding: 0.2rem 0.9rem 0.2rem 0;
border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere } td { font-variant-numeric: tabular-nums }
.grids { display: flex; flex-wrap: wrap; gap: 1.5rem } figure { margin: 0 } img { max-width: 100%; image-rendering: pixelated }
.note { color: #a33 } svg { max-width: 100%; height: auto }
"""


def page(runs: Sequence[Run], found: Sequence[Table]) -> str:
    """All that stands in files is escaped, and the page may load nothing and run nothing."""
    names = [escape(run.name) for run in runs]
    parts = [f"<h1>{' and '.join(names)}</h1>"]
    for run in runs:
        parts += [f'<p class="note">{escape(run.name)}: {escape(note)}</p>' for note in run.notes]
    for table in found:
        parts.append(f"<h2>{escape(table.title)}</h2>")
        if table.title == "loss" and table.rows:
            parts.append(chart(runs))
        if table.said:
            parts.append(f"<p>{escape(table.said)}</p>")
        if table.rows:
            head = "".join(f"<th>{name}</th>" for name in ["", *names, ""])
            body = "".join(f"<tr><th>{escape(what)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}"
                           f'<td class="note">{escape(note)}</td></tr>' for what, cells, note in table.rows)  # fmt: skip
            parts.append(f"<table><tr>{head}</tr>{body}</table>")
    parts += ["<h2>samples</h2>", f"<p>{escape(seeds(runs))}</p>", '<div class="grids">']
    parts += [shown(run) for run in runs]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{" and ".join(names)}</title>'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head>\n<body>'
            + "\n".join(parts) + "</div>\n</body></html>\n")  # fmt: skip


def seeds(runs: Sequence[Run]) -> str:
    """Whether the grids start from the same noise."""
    there = {run.facts.get("seed") for run in runs if run.grid}
    if not there:
        return "no run has a grid of samples"
    return "newest grids, averaged weights, equal seeds" if len(there) == 1 else (
        f"newest grids, averaged weights; the seeds differ ({', '.join(sorted(str(one) for one in there))}), so pictures "
        "in one place are not of one noise"
    )  # fmt: skip


def shown(run: Run) -> str:
    name = escape(run.name)
    if run.grid is None:
        return f"<figure><figcaption>{name}: no grid of samples</figcaption></figure>"
    data = base64.b64encode(run.grid.read_bytes()).decode()
    return (f'<figure><img alt="samples of {name}" src="data:image/png;base64,{data}">'
            f"<figcaption>{name}, {escape(run.grid.name)}</figcaption></figure>")  # fmt: skip


def chart(runs: Sequence[Run]) -> str:
    """Losses over samples seen, on a logarithmic scale where they are positive."""
    low, high = shared_span(runs)
    longest = max(run.losses[-1][0] for run in runs if run.losses)

    def place(seen: float, loss: float) -> str:
        x = LEFT + (WIDTH - LEFT - 12) * seen / longest
        y = 12 + (HEIGHT - BELOW - 12) * (1 - unit(loss, low, high))
        return f"{x:.1f},{y:.1f}"

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 22 * len(runs)}" width="{WIDTH}" role="img" '
             'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12">',
             f'<path d="M{LEFT},12 V{HEIGHT - BELOW} H{WIDTH - 12}" fill="none" stroke="#999"/>']  # fmt: skip
    for i in range(5):
        value = low * (high / low) ** (i / 4) if low > 0 else low + (high - low) * i / 4
        y = float(place(0, value).split(",")[1])
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        x = float(place(longest * i / 4, low).split(",")[0])
        anchor = "end" if i == 4 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BELOW + 18}" text-anchor="{anchor}">{longest * i / 4:,.0f}</text>'
        )
    for i, run in enumerate(runs):
        colour, y = COLOURS[i % len(COLOURS)], HEIGHT + 22 * i + 6
        if run.losses:
            points = " ".join(place(*one) for one in run.losses)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(f'<path d="M{LEFT},{y} h24" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{LEFT + 32}" y="{y + 4}">{escape(run.name)}{"" if run.losses else " (no log)"}</text>')
    return "".join(parts) + "</svg>"
