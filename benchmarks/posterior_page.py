"""Renders docs/posterior.md from the measurements and from the code."""

import inspect
import json
import math
import re
from pathlib import Path
from statistics import median

from reverie import discover, posterior
from reverie.posterior import operators
from reverie.posterior.base import Posterior, PosteriorSampler
from reverie.posterior.operators.base import Operator

DOCS = Path(__file__).parent.parent / "docs"
DATA = DOCS / "posterior.json"


def methods() -> list[str]:
    """The table of methods, from the code."""
    rows = ["| name | what it is | needs of the operator | samplers | paper |", "| --- | --- | --- | --- | --- |"]
    for base in (Posterior, PosteriorSampler):
        for name, cls in discover.discover(posterior, base).items():  # type: ignore[type-abstract]
            text = inspect.getdoc(cls) or ""
            papers = dict.fromkeys(re.findall(r"https?://[^\s,;)]+", text))
            links = ", ".join(f"[{i}]({url.rstrip('.')})" for i, url in enumerate(papers, 1))
            first = said(text)
            with_ = "every one" if base is Posterior else "around one of one guess" if cls.wraps else "its own step"
            rows.append(f"| `{name}` | {first} | {', '.join(sorted(cls.needs)) or 'its adjoint'} | {with_} | {links} |")
    return rows


def said(text: str) -> str:
    """The first paragraph of a docstring, in a cell of a table."""
    return " ".join(text.split("\n\n")[0].split()).rstrip(":.").replace("|", "\\|")


def listed() -> list[str]:
    """The table of operators, from the code."""
    rows = ["| name | what it is | offers |", "| --- | --- | --- |"]
    for name, cls in discover.discover(operators, Operator).items():  # type: ignore[type-abstract]
        rows.append(f"| `{name}` | {said(inspect.getdoc(cls) or '')} | {', '.join(['adjoint', *sorted(cls.offers)])} |")
    return rows


def summary(result: dict) -> list[str]:
    """The best of each library on each problem, against the floor."""
    rows = [
        "| problem | floor | no conditioning | ours, best | over the floor | azula, best | ours over azula's |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in result["problems"].items():
        (a, ours), (b, theirs) = (best(found[library]) for library in ("ours", "azula"))
        rows.append(f"| {name} | {found['floor']:.3g} | {found['prior']:.3g} | {ours} {a:.3g} | {a / found['floor']:.2f} | "
                    f"{theirs} {b:.3g} | {a / b:.2f} |")  # fmt: skip
    return rows


def best(found: dict) -> tuple[float, str]:
    return min((one["distance"], name) for name, one in found.items() if one)


def distances(result: dict) -> list[str]:
    """Every method on every problem: distance over the floor."""
    names = list(result["problems"])
    rows = ["| method | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for library in ("ours", "azula"):
        for method in next(iter(result["problems"].values()))[library]:
            cells = []
            for found in result["problems"].values():
                one = found[library].get(method)
                cells.append(f"{one['distance'] / found['floor']:.2f}" if one else "")
            rows.append(f"| {method}{', azula' if library == 'azula' else ''} | " + " | ".join(cells) + " |")
    return rows


def short(result: dict) -> list[str]:
    """Where the bars are not met, from the figures."""
    missed, worse = [], []
    for name, found in result["problems"].items():
        (a, _), (b, _) = (best(found[library]) for library in ("ours", "azula"))
        bar = 1.2 * found["floor"] if name == "plane" else max(b / 2, 1.2 * found["floor"])
        missed += [f"{name} ({a:.3g}, bar {bar:.3g})"] if a > bar else []
        shared = [key for key, one in found["azula"].items() if one and key in found["ours"]]
        lost = [key for key in shared if beyond(found["ours"][key], found["azula"][key])]
        worse += [f"{name}: {', '.join(lost)}"] if lost else []
    return [
        f"Our best is not yet within 1.2 of the floor or half of azula's best on: {'; '.join(missed) or 'none'}.",
        f"Ours is worse than azula's of the same name, by more than two deviations of the difference of the two means, on: "
        f"{'; '.join(worse) or 'none'}.",
    ]


def beyond(ours: dict, theirs: dict) -> bool:
    """Whether ours is further away by more than the runs leave open."""
    return ours["distance"] - theirs["distance"] > 2 * math.hypot(ours["error"], theirs["error"])


def errors(result: dict) -> str:
    """The standard errors of distances, as shares of them."""
    each = [(one["error"] / one["distance"], f"{name}, {method}{', azula' if library == 'azula' else ''}")
            for name, found in result["problems"].items() for library in ("ours", "azula")
            for method, one in found[library].items() if one]  # fmt: skip
    most, where = max(each)
    return f"less than {100 * median(share for share, _ in each):.1f} % of half of them, and {100 * most:.0f} % at most ({where})"


def coverage(result: dict) -> list[str]:
    """Bias and coverage of ours."""
    names = list(result["problems"])
    rows = ["| method | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for method in next(iter(result["problems"].values()))["ours"]:
        cells = [f"{found['ours'][method]['bias']:.2f}, {100 * found['ours'][method]['covered']:.0f} %"
                 for found in result["problems"].values()]  # fmt: skip
        rows.append(f"| {method} | " + " | ".join(cells) + " |")
    return rows


def write() -> None:
    result = json.loads(DATA.read_text())
    problems = list(result["problems"].values())
    template = (Path(__file__).parent / "posterior_page.md").read_text()
    parts = {
        "METHODS": methods(),
        "OPERATORS": listed(),
        "SUMMARY": summary(result),
        "SHORT": short(result),
        "DISTANCES": distances(result),
        "ERRORS": [errors(result)],
        "COVERAGE": coverage(result),
        "SEED": [str(result["seed"])],
        "PLANE": [f"{problems[0]['samples']:,}"],
        "DIGITS": [str(problems[-1]["samples"])],
        "STEPS": [str(problems[-1]["steps"])],
        "RUNS": [str(problems[-1]["runs"])],
    }
    for name, lines in parts.items():
        template = template.replace(f"{{{name}}}", "\n".join(lines).strip())
    (DOCS / "posterior.md").write_text(template)
