"""Renders docs/guidance.md and its figure from the measurements and from the code."""

import inspect
import json
import re
from pathlib import Path

from reverie import discover, guidance
from reverie.discover import Plan
from reverie.guidance.base import Guidance

DOCS = Path(__file__).parent.parent / "docs"
DATA = DOCS / "guidance.json"
FIGURES = {"agreement": "label agreement", "frechet": "Fréchet distance", "coverage": "coverage"}


def listing() -> list[str]:
    """The table of methods, from the code."""
    rows = [
        "| name | what it is | space | changes nothing at | around | options | paper |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, cls in discover.discover(guidance, Guidance).items():  # type: ignore[type-abstract]
        text = inspect.getdoc(cls) or ""
        papers = dict.fromkeys(re.findall(r"https?://[^\s,;)]+", text))
        links = ", ".join(f"[{i}]({url.rstrip('.')})" for i, url in enumerate(papers, 1))
        neutral = ", ".join(f"`{key}={value}`" for key, value in (cls.neutral or {}).items()) or "none"
        options = str(Plan(cls))[len(name) + 1 : -1]
        rows.append(f"| `{name.lower()}` | {text.splitlines()[0]} | {cls.space} | {neutral} | {', '.join(Plan(cls).parts)} | "
                    f"{f'`{options}`' if options else ''} | {links} |")  # fmt: skip
    return rows


def table(result: dict) -> list[str]:
    rows = [f"| | scale | {' | '.join(FIGURES.values())} |", "| --- | --- |" + " --- |" * len(FIGURES)]
    for name, points in result["figures"].items():
        for scale, figures in points.items():
            rows.append(f"| {name} | {float(scale):g} | {cells(figures)} |")
    return [*rows, f"| real pictures, of training | | {cells(result['real'])} |"]


def cells(figures: dict[str, list[float]]) -> str:
    return " | ".join(f"{figures[name][0]:.3g} ± {figures[name][1]:.2g}" for name in FIGURES)


def figure(result: dict) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(1, len(FIGURES), figsize=(11, 3.4), sharex=True)
    plain = result["figures"]["none"]["1.0"]
    for axis, (key, words) in zip(axes, FIGURES.items()):
        for name, points in result["figures"].items():
            if name == "none":
                continue
            curve = [(1.0, *plain[key]), *((float(scale), *one[key]) for scale, one in points.items())]
            scales, values, errors = zip(*curve)
            axis.errorbar(scales, values, errors, lw=1.2, marker="o", ms=3, capsize=2, label=name)
        axis.axhline(result["real"][key][0], color="k", ls="--", lw=0.8, label="as many real pictures")
        axis.set_title(words, fontsize=10)
        axis.set_xlabel("scale", fontsize=9)
        axis.tick_params(labelsize=8)
    axes[1].set_yscale("log")
    axes[0].legend(fontsize=7)
    fig.tight_layout()
    fig.savefig(DOCS / "images" / "guidance.png", dpi=80)
    plt.close(fig)


def write() -> None:
    result = json.loads(DATA.read_text())
    figure(result)
    template = (Path(__file__).parent / "guidance_page.md").read_text()
    parts = {
        "LISTING": listing(),
        "TABLE": table(result),
        "SAMPLES": [f"{result['samples']:,}"],
        "STEPS": [str(result["steps"])],
    }
    for name, lines in parts.items():
        template = template.replace(f"{{{name}}}", "\n".join(lines).strip())
    (DOCS / "guidance.md").write_text(template)
