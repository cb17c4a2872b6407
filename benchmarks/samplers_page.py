"""Renders docs/samplers.md and its figures from the measurements and from the code."""

import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reverie import discover, samplers
from reverie.samplers.base import Sampler

from .samplers_problems import GRIDS

DOCS = Path(__file__).parent.parent / "docs"
FEW, BAR_FEW, BAR = 10, 1.1, 1.02
"""Up to so many evaluations ours may be 1.1 times the best peer's error, above 1.02 times."""
JUDGED = 3
"""So many of the problems are those that the bar is for; those after them are the further ones."""
SHOWN = (
    "diffusers multistep dpmsolver++ 2",
    "diffusers UniPC bh2 3",
    "diffusers DEIS 3",
    "diffusers singlestep dpmsolver++ 3",
    "diffusers Heun",
    "diffusers Euler",
    "azula zEAB 4",
)


class Entry(NamedTuple):
    name: str
    grid: str
    error: float


def candidates(result: dict, problem: int, budget: int, mine: bool, grids: Sequence[str]) -> list[Entry]:
    return [
        Entry(name, grid, entry[grid][str(budget)][problem])
        for name, entry in result["entries"].items()
        for grid in grids
        if (entry["library"] == "reverie") == mine and str(budget) in entry[grid]
    ]


def entered(result: dict, budget: int, grids: Sequence[str]) -> Entry:
    """Ours with the least error on the first problem."""
    return min(candidates(result, 0, budget, True, grids), key=lambda e: e.error)


def compared(result: dict, problem: int, budget: int, grids: Sequence[str]) -> tuple[Entry, Entry]:
    """What was entered, with its error on this problem, and the peer that is best on this very problem."""
    ours = entered(result, budget, grids)
    error = result["entries"][ours.name][ours.grid][str(budget)][problem]
    return ours._replace(error=error), min(candidates(result, problem, budget, False, grids), key=lambda e: e.error)


def bar(budget: int) -> float:
    return BAR_FEW if budget <= FEW else BAR


def listing() -> list[str]:
    """The table of samplers, from the code."""
    slopes = json.loads((DOCS / "samplers.json").read_text())["slopes"]
    rows = [
        "| name | order | evaluations | stochastic | paper | self-started slope |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, cls in discover.discover(samplers, Sampler).items():
        default = cls()
        papers = dict.fromkeys(re.findall(r"https?://[^\s,;)]+", inspect.getdoc(cls) or ""))
        links = ", ".join(f"[{i}]({url.rstrip('.')})" for i, url in enumerate(papers, 1))
        cost = str(default.evaluations) if default.evaluations else "as many as it needs"
        kind = "yes" if default.stochastic else "no"
        key = name.lower()
        slope = f"{slopes[key]:.1f}" if key in slopes else ""
        rows.append(f"| `{key}` | {default.order} | {cost} | {kind} | {links} | {slope} |")
    return rows


def overall(result: dict) -> list[str]:
    """A table for each problem: ours as chosen on the first against the best peer of all, grids included."""
    lines, grids = [], list(GRIDS)
    for i, (name, facts) in enumerate([*result["problems"].items()][:JUDGED]):
        error = facts["uncertainty"]
        known = f"reference right to {error:.0e}" if error else "exact"
        lines += ["", f"### {name[0].upper()}{name[1:]} ({facts['samples']} samples, {known})", ""]
        lines += [
            "| evaluations | ours | error | best peer | error | ratio | bar |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for budget in result["budgets"]:
            ours, best = compared(result, i, budget, grids)
            ratio = ours.error / best.error
            verdict = f"{bar(budget)}" + ("" if ratio <= bar(budget) else ": **missed**")
            lines.append(
                f"| {budget} | {ours.name}, {ours.grid} | {ours.error:.2g} | {best.name}, {best.grid} | {best.error:.2g} "
                f"| {ratio:.2f} | {verdict} |"
            )
    return lines


def beyond(result: dict) -> list[str]:
    """Ratios of the same entries to the best peer of each further problem."""
    names = list(result["problems"])
    lines = [
        f"| evaluations | entered | {' | '.join(names[JUDGED:])} |",
        "| --- |" + " --- |" * (len(names) - JUDGED + 1),
    ]
    for budget in result["budgets"]:
        cells = [f"`{entered(result, budget, list(GRIDS)).name}`"]
        for i in range(JUDGED, len(names)):
            ours, best = compared(result, i, budget, list(GRIDS))
            ratio = ours.error / best.error
            cells.append(f"{ratio:.2f}" if ratio <= bar(budget) else f"**{ratio:.2f}** ({best.name}, {best.grid})")
        lines.append(f"| {budget} | {' | '.join(cells)} |")
    return lines


def by_grid(result: dict) -> list[str]:
    """Ratios of ours, as chosen on the first problem for that grid, to the best peer on that grid."""
    head = " | ".join(f"{grid}: {name}" for grid in GRIDS for name in ("line", "plane", "digits"))
    lines = [f"| evaluations | {head} |", "| --- |" + " --- |" * 3 * len(GRIDS)]
    for budget in result["budgets"]:
        cells = []
        for grid in GRIDS:
            for i in range(3):
                if not candidates(result, i, budget, True, [grid]) or not candidates(result, i, budget, False, [grid]):
                    cells.append("")
                    continue
                ours, best = compared(result, i, budget, [grid])
                ratio = ours.error / best.error
                cells.append(f"{ratio:.2f}" if ratio <= bar(budget) else f"**{ratio:.2f}**")
        lines.append(f"| {budget} | {' | '.join(cells)} |")
    lines += ["", "Entered:", "", "| evaluations | " + " | ".join(GRIDS) + " |", "| --- |" + " --- |" * len(GRIDS)]
    for budget in result["budgets"]:
        some = [grid for grid in GRIDS if candidates(result, 0, budget, True, [grid])]
        names = " | ".join(f"`{entered(result, budget, [grid]).name}`" if grid in some else "" for grid in GRIDS)
        lines.append(f"| {budget} | {names} |")
    return lines


def verdict(result: dict, some: slice) -> str:
    """How often the bar is met on some of the problems, and where it is missed, in words."""
    missed, clearly, within = [], 0, 0
    problems = [*enumerate(result["problems"])][some]
    for i, name in problems:
        for budget in result["budgets"]:
            ours, best = compared(result, i, budget, list(GRIDS))
            ratio = ours.error / best.error
            clearly += ratio < 0.8
            own = min(candidates(result, i, budget, True, list(GRIDS)), key=lambda e: e.error)
            within += own.error <= bar(budget) * best.error
            if ratio > bar(budget):
                missed.append(f"{name} at {budget} ({ratio:.2f})")
    total = len(problems) * len(result["budgets"])
    text = f"The bar is met in {total - len(missed)} of {total} places; in {clearly} ours has under 0.8 of the peer's error."
    text += f" Were ours chosen on the very problem too, which is not the rule, it would be met in {within}."
    return text + (f" **Missed:** {'; '.join(missed)}." if missed else "")


def trained() -> list[str]:
    """Fréchet distances of the models that ship, where they were measured."""
    path, lines = DOCS / "samplers_trained.json", []
    for model, found in json.loads(path.read_text()).items() if path.exists() else ():
        budgets = list(next(iter(found["figures"].values())))
        lines += ["", f"### {model}, {found['samples']} samples", "", f"| sampler | {' | '.join(budgets)} |"]
        lines.append("| --- |" + " --- |" * len(budgets))
        for name, figures in found["figures"].items():
            cells = " | ".join(f"{value:.3g} ± {error:.2g}" for value, error in figures.values())
            lines.append(f"| `{name}` | {cells} |")
    return lines or ["Not measured yet."]


def figures(result: dict) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(13, 4.2), sharex=True)
    budgets, grids = result["budgets"], list(GRIDS)
    for i, (axis, name) in enumerate(zip(axes, list(result["problems"])[:JUDGED])):
        for peer in SHOWN:
            entry = result["entries"][peer]
            points = [
                (b, min(entry[g][str(b)][i] for g in grids if str(b) in entry[g]))
                for b in budgets
                if any(str(b) in entry[g] for g in grids)
            ]
            axis.loglog(*zip(*points), lw=1, marker=".", ms=3, label=peer)
        best = [compared(result, i, b, grids)[1].error for b in budgets]
        axis.loglog(budgets, best, "k--", lw=1, label="best peer of each budget")
        ours = [compared(result, i, b, grids)[0].error for b in budgets]
        axis.loglog(budgets, ours, "k", lw=2, marker="o", ms=4, label="reverie, chosen on the first")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("evaluations", fontsize=8)
        axis.set_ylim(1e-9, 3)
        axis.tick_params(labelsize=7)
    axes[0].set_ylabel("root mean square error", fontsize=8)
    axes[0].legend(fontsize=6)
    fig.tight_layout()
    fig.savefig(DOCS / "images" / "samplers.png", dpi=72)
    plt.close(fig)


def figure_of_trained() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    measured = json.loads((DOCS / "samplers_trained.json").read_text())
    fig, axes = plt.subplots(1, len(measured), figsize=(9, 3.6))
    for axis, (model, found) in zip(axes, measured.items()):
        for name, figures in found["figures"].items():
            budgets = [int(budget) for budget in figures]
            values, errors = zip(*figures.values())
            axis.errorbar(budgets, values, errors, lw=1, marker=".", capsize=2, label=name)
        axis.set_yscale("log")
        axis.set_title(f"{model}, {found['samples']} samples", fontsize=9)
        axis.set_xlabel("evaluations", fontsize=8)
        axis.tick_params(labelsize=7, which="both")
    axes[0].set_ylabel("Fréchet distance", fontsize=8)
    axes[-1].legend(fontsize=7)
    fig.tight_layout()
    fig.savefig(DOCS / "images" / "samplers_trained.png", dpi=80)
    plt.close(fig)


def write(result: dict) -> None:
    figures(result)
    figure_of_trained()
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    template = (Path(__file__).parent / "samplers_page.md").read_text()
    parts = {
        "LISTING": listing(),
        "VERDICT": [verdict(result, slice(JUDGED))],
        "OVERALL": overall(result),
        "BEYOND_VERDICT": [verdict(result, slice(JUDGED, None))],
        "BEYOND": beyond(result),
        "BY_GRID": by_grid(result),
        "VERSIONS": [versions],
        "TRAINED": trained(),
    }
    for name, lines in parts.items():
        template = template.replace(f"{{{name}}}", "\n".join(lines).strip())
    (DOCS / "samplers.md").write_text(template)
