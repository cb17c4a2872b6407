"""What is known of a run, from whatever of its files there are; nothing in them is trusted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import discover, files, nn
from ..errors import ReverieError
from ..nn.base import Backbone
from ..reading import contained, plain
from ..systems.base import shipped
from ..training.logs import reports

OBJECTIVE = ("schedule", "parameterization", "weight", "density")
"""Options without which two losses are not of one kind."""
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_PICTURE = 16 * 2**20


@dataclass(frozen=True)
class Run:
    """One run; every part may be empty."""

    name: str
    facts: dict[str, str]
    """Options and all else that made it, by name, as text."""
    losses: tuple[tuple[float, float], ...] = ()
    """(samples seen, loss), in order."""
    results: tuple[dict[str, Any], ...] = ()
    """What `reverie evaluate` wrote, newest last."""
    grid: Path | None = None
    """The newest grid of samples from averaged weights."""
    notes: tuple[str, ...] = field(default=())


def opened(run: str) -> Run:
    """A run folder or a shipped model. Raises ReverieError where it is none; what cannot be read in it is noted."""
    folder = Path(run) if Path(run).is_dir() else shipped(run)
    notes: list[str] = []
    if Path(run).is_dir():
        contained(folder)

    def read(path: Path) -> dict[str, Any]:
        try:
            found = files.read_json(path)
        except ReverieError as error:
            notes.append(clean(str(error)))
            return {}
        return found if isinstance(found, dict) else {}

    if not (folder / "model.json").is_file() and not (folder / "recipe.json").is_file():
        raise ReverieError(f"{run} is not a run: it holds neither model.json nor recipe.json")
    settled, model = read(folder / "recipe.json"), read(folder / "model.json")
    inside = folder / "evaluations"
    beside = Path("evaluations") if not Path(run).is_dir() else inside
    pattern = "*.json" if beside == inside else f"{folder.name}-*.json"
    results = [read(path) for path in sorted(beside.glob(pattern), key=lambda p: (p.stat().st_mtime_ns, p.name))]
    grids = sorted((folder / "samples").glob("*-ema.png"))
    return Run(clean(run), facts(settled, model), tuple(losses(folder / "log.jsonl", notes)), tuple(results),
               grids[-1] if grids and is_picture(grids[-1]) else None, tuple(notes))  # fmt: skip


def facts(settled: dict[str, Any], model: dict[str, Any]) -> dict[str, str]:
    """Name and value of everything that made a run; `group key` for what is nested."""
    found: dict[str, Any] = {"recipe": settled.get("recipe")}
    for group, shown in (("options", ""), ("chosen", "chosen "), ("data", "data "), ("versions", "version of ")):
        part = settled.get(group)
        for key, value in part.items() if isinstance(part, dict) else ():
            found[f"{shown}{key}"] = value
    start = settled.get("from")
    found["from"] = f"{start.get('name')} {str(start.get('sha256'))[:16]}" if isinstance(start, dict) else None
    about = model.get("about")
    found["samples seen"] = about.get("seen") if isinstance(about, dict) else None
    found["shape"] = model.get("shape")
    found["parameters"] = size(model.get("backbone"))
    for key in ("backbone", "defaults"):
        part = model.get(key)
        for one, value in part.items() if isinstance(part, dict) else ():
            found[f"{key} {one}"] = value
    for key in ("schedule", "parameterization", "noise_input", "codec"):
        if key in model:
            found[f"model {key}"] = model[key]
    if isinstance(found.get("data fingerprint"), str):
        found["data fingerprint"] = found["data fingerprint"][:16]
    return {clean(key): text(value) for key, value in found.items()}


def size(backbone: Any) -> int | None:
    """The parameters of a described network, counted without making it."""
    try:
        options = dict(backbone)
        return discover.lookup("backbone", nn, Backbone, str(options.pop("name"))).size(**options)
    except (ReverieError, TypeError, ValueError, KeyError, OverflowError, RecursionError):
        return None


def losses(path: Path, notes: list[str]) -> list[tuple[float, float]]:
    """The reports that are such, in order of samples seen."""
    found, skipped = {}, 0
    try:
        for _, report in reports(path):
            if "seen" in report and "loss" in report:
                found[float(report["seen"])] = float(report["loss"])
            else:
                skipped += 1
    except ReverieError as error:
        notes.append(clean(str(error)))
    if skipped:
        notes.append(f"{skipped} lines of log.jsonl are no reports of finite numbers")
    return sorted(found.items())


def is_picture(path: Path) -> bool:
    with plain(path) as file:
        return path.stat().st_size <= LARGEST_PICTURE and file.read(8) == PNG


def text(value: Any) -> str:
    """One short line for a value of JSON; a described class as `Name(option=value)`."""
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        inside = ", ".join(f"{key}={text(one)}" for key, one in value.items() if key != "name")
        return clean(f"{value['name']}({inside})")
    if isinstance(value, dict):
        return clean(", ".join(f"{key} {text(one)}" for key, one in value.items()))
    if isinstance(value, list):
        return clean(f"({', '.join(text(one) for one in value)})")
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else clean(str(value))


def clean(said: str, most: int = 200) -> str:
    """The printable part of a text on one line: no control character reaches a terminal."""
    line = "".join(c if c.isprintable() else " " for c in said)
    return line if len(line) <= most else line[: most - 3] + "..."
