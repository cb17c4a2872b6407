"""The tables of a comparison: rows of text, a column a run."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .runs import OBJECTIVE, Run, clean

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Table:
    """Rows of (what, a cell a run, note), and a sentence below where one is needed."""

    title: str
    rows: tuple[tuple[str, tuple[str, ...], str], ...]
    said: str = ""


def tables(runs: Sequence[Run], every: bool = False) -> list[Table]:
    """Options, curves and figures of two runs or more."""
    return [options(runs, every), curves(runs), figures(runs)]


def options(runs: Sequence[Run], every: bool) -> Table:
    """What made each, where it differs; `every` for all of it."""
    names = dict.fromkeys(name for run in runs for name in run.facts)
    rows = [(name, tuple(run.facts.get(name, "-") for run in runs)) for name in names]
    unlike = [row for row in rows if len(set(row[1])) > 1]
    shown = tuple(
        (name, cells, "differs" if len(set(cells)) > 1 else "") for name, cells in (rows if every else unlike)
    )
    prints = {run.facts.get("data fingerprint") for run in runs}
    data = "not known of all" if None in prints else "the same data" if len(prints) == 1 else "different data"
    return Table("options", shown, f"{data}; {len(unlike)} of {len(rows)} facts differ")


def curves(runs: Sequence[Run], marks: int = 10) -> Table:
    """The loss at even marks of the longest run, each the mean of the reports since the mark before."""
    longest = max((run.losses[-1][0] for run in runs if run.losses), default=0)
    if not longest:
        return Table("loss", (), "no run has a log")
    rows = []
    for i in range(marks):
        low, high = longest * i / marks, longest * (i + 1) / marks
        cells = [[loss for seen, loss in run.losses if low < seen <= high] for run in runs]
        rows.append((f"{high:,.0f}", tuple(f"{sum(cell) / len(cell):.4g}" if cell else "-" for cell in cells), ""))
    span = shared_span(runs)
    rows.append(("curve", tuple(sparkline([loss for _, loss in run.losses], *span) for run in runs), "log scale"))
    kinds = {tuple(run.facts.get(key) for key in OBJECTIVE) for run in runs if run.losses}
    prints = {run.facts.get("data fingerprint") for run in runs if run.losses}
    differ = [what for what, n in (("objectives", len(kinds)), ("data", len(prints))) if n > 1]
    said = f"not comparable: the losses are of different {' and '.join(differ)}" if differ else ""
    return Table("loss", tuple(rows), said)


def shared_span(runs: Sequence[Run]) -> tuple[float, float]:
    """The least and the greatest loss of all runs."""
    every = [loss for run in runs for _, loss in run.losses]
    return min(every), max(every)


def sparkline(values: Sequence[float], low: float, high: float, width: int = 24) -> str:
    """Bars of the means of `width` equal parts, on a scale that is logarithmic where all values are positive."""
    if not values:
        return "-"
    width = min(width, len(values))
    parts = [values[i * len(values) // width : (i + 1) * len(values) // width] for i in range(width)]
    heights = [unit(sum(part) / len(part), low, high) for part in parts]
    return "".join(BARS[min(len(BARS) - 1, int(height * len(BARS)))] for height in heights)


def unit(value: float, low: float, high: float) -> float:
    """Where a value lies between the two, in [0, 1]."""
    if low > 0:
        low, high, value = math.log(low), math.log(high), math.log(max(value, low))
    return 0.5 if high <= low else min(1.0, max(0.0, (value - low) / (high - low)))


def figures(runs: Sequence[Run]) -> Table:
    """What `reverie evaluate` wrote: equal metrics, extractors and counts in one row; what cannot be compared says why."""
    found = [collected(run) for run in runs]
    names = dict.fromkeys(key for one in found for key in one)
    rows = []
    for key in names:
        having = [one[key] for one in found if key in one]
        common = [setting for setting in having[-1] if all(setting in other for other in having)]
        for setting in common:
            cells = tuple(one[key][setting] if key in one else "-" for one in found)
            rows.append((f"{key[0]}, {described(setting)}", cells, ""))
        if not common:
            newest = [next(reversed(one[key].items())) if key in one else None for one in found]
            told = "; ".join(dict.fromkeys(described(one[0], True) for one in newest if one))
            rows.append((key[0], tuple(one[1] if one else "-" for one in newest), f"NOT COMPARABLE: {told}"))
    return Table("figures", tuple(rows), "" if rows else "no run has figures: `reverie evaluate RUN` makes some")


Setting = tuple[str, str, str]
"""Extractor, its hash and the classifier's, counts: as text, for two to be compared."""


def collected(run: Run) -> dict[tuple[str, str], dict[Setting, str]]:
    """Values by (figure, metric with its options) and setting; a newer result replaces an older of the same setting."""
    found: dict[tuple[str, str], dict[Setting, str]] = {}
    for result in run.results:
        shown, eyes, judge = result.get("figures"), result.get("extractor") or {}, result.get("classifier") or {}
        counts = result.get("counts")
        if not (
            isinstance(shown, dict) and isinstance(eyes, dict) and isinstance(judge, dict) and isinstance(counts, dict)
        ):
            continue
        setting = (clean(str(eyes.get("name", "no features"))), clean(f"{eyes.get('hash')} {judge.get('hash')}"),
                   clean(", ".join(f"{n} {what}" for what, n in sorted(counts.items(), reverse=True))))  # fmt: skip
        for name, figure in shown.items():
            if isinstance(figure, dict) and isinstance(figure.get("value"), (int, float)):
                key = (clean(str(name)), json.dumps(figure.get("metric"), sort_keys=True, default=str))
                found.setdefault(key, {}).pop(setting, None)
                found[key][setting] = valued(figure)
    return found


def valued(figure: dict[str, Any]) -> str:
    error = figure.get("error")
    return f"{figure['value']:.4g}" + (f" ± {error:.2g}" if isinstance(error, (int, float)) and error else "")


def described(setting: Setting, hashed: bool = False) -> str:
    return f"{setting[0]}{f' {setting[1][:8]}' if hashed else ''}, {setting[2]}"
