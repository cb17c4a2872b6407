"""Error against evaluations of our samplers and of others', on problems whose flow is known: python -m benchmarks.samplers

Writes docs/samplers.json and renders docs/samplers.md from it; `--render` renders alone. Every sampler of diffusers and
azula that solves the flow is measured in the same run, in float64 and on the same grids; a missing library is an error.
"""

import argparse
import json
import multiprocessing
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from reverie.core.noise import Seeded
from reverie.samplers.base import Sampler

from . import samplers_page
from .samplers_ours import Remembered, ours, steps_for
from .samplers_peers import peers
from .samplers_problems import GRIDS, SCHEDULE, Problem, Stacked, digits, further, line, ring
from .samplers_slopes import slopes

DOCS = Path(__file__).parent.parent / "docs"
BUDGETS = (5, 8, 10, 16, 32, 64, 128, 256)


@torch.no_grad()
def measure(samples: Sequence[int], grids: Sequence[str], budgets: Sequence[int] = BUDGETS) -> dict:
    """Errors {entry: {grid: {budget: [one a problem]}}} on some of the grids, and what they were measured with."""
    torch.set_num_threads(1)
    problems = Stacked([line(samples[0]), ring(samples[1]), digits(samples[2]), *further(samples)])
    problems.schedule = Remembered(SCHEDULE)
    entries: dict[str, dict] = {}
    runs: dict[str, Callable[[int, str], Tensor | None]] = {}

    def own(sampler: Sampler):
        def run(evaluations: int, grid: str) -> Tensor | None:
            steps = steps_for(sampler, evaluations, GRIDS[grid])
            return sampler(problems, problems.start, GRIDS[grid](steps), Seeded(())) if steps else None

        return run

    def other(peer):
        def run(evaluations: int, grid: str) -> Tensor | None:
            steps = peer.steps(evaluations)
            if not steps:
                return None
            *_, end = peer.walk(problems, problems.start, GRIDS[grid](steps))
            return end

        return run

    for name, sampler in ours().items():
        entries[name], runs[name] = {"library": "reverie", "order": sampler.order}, own(sampler)
    for peer in peers():
        name = f"{peer.library} {peer.name}"
        entries[name], runs[name] = {"library": peer.library, "order": peer.order}, other(peer)

    for grid in grids:
        for entry in entries.values():
            entry[grid] = {}
        for budget in budgets:
            for name, entry in entries.items():
                started = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # theirs warn of deprecations at every step
                    end = runs[name](budget, grid)
                if end is None or not end.isfinite().all():
                    continue
                entry[grid][str(budget)] = [float(f"{error:.4g}") for error in problems.errors(end)]
                entry["seconds"] = entry.get("seconds", 0) + time.process_time() - started
            print(f"{grid}, {budget} evaluations", flush=True)
    for entry in entries.values():
        entry["seconds"] = round(entry.get("seconds", 0), 2)
    return {
        "versions": {name: version(name) for name in ("torch", "diffusers", "azula")},
        "problems": {p.name: {"uncertainty": p.uncertainty, "samples": len(p.start)} for p in problems.problems},
        "budgets": list(budgets),
        "entries": entries,
        "slopes": {},
    }


def merged(parts: Sequence[dict]) -> dict:
    """One result of those of several grids."""
    whole = parts[0]
    for part in parts[1:]:
        for name, entry in part["entries"].items():
            seconds = whole["entries"][name]["seconds"] + entry["seconds"]
            whole["entries"][name] |= entry | {"seconds": round(seconds, 2)}
    return whole


@torch.no_grad()
def picture(problem: Problem, result: dict, evaluations: int = 10, count: int = 16) -> None:
    """docs/images/samplers_digits.png: where the flow goes, where ours does, and where the best peer does."""
    mine, best = samplers_page.compared(result, 2, evaluations, list(GRIDS))
    peer = next(peer for peer in peers() if f"{peer.library} {peer.name}" == best.name)
    sampler, d, x = ours()[mine.name], problem.denoiser, problem.start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        *_, theirs = peer.walk(d, x, GRIDS[best.grid](peer.steps(evaluations)))
    grid = GRIDS[mine.grid]
    rows = problem.end, sampler(d, x, grid(steps_for(sampler, evaluations, grid)), Seeded(())), theirs
    pixels = torch.stack([row[:count].reshape(count, 8, 8) for row in rows])
    pixels = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte()
    tiles = torch.nn.functional.pad(pixels, (1, 1, 1, 1), value=64).permute(0, 2, 1, 3).reshape(30, 10 * count)
    image = Image.fromarray(tiles.numpy()).resize((50 * count, 150), Image.Resampling.NEAREST)
    image.save(DOCS / "images" / "samplers_digits.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--render", action="store_true", help="only render the page from the JSON that is there")
    parser.add_argument("--samples", type=int, nargs=3, default=(32, 48, 24), help="of each problem")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one a grid")
    parser.add_argument("--out", type=Path, default=DOCS / "samplers.json")
    options = parser.parse_args()
    if not options.render:
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            parts = pool.starmap(measure, [(options.samples, [grid]) for grid in GRIDS], chunksize=1)
        result = merged(parts)
        result["slopes"] = {name: round(slope, 2) for name, slope in slopes().items()}
        options.out.write_text(json.dumps(result, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n")
        picture(digits(options.samples[2]), result)
    samplers_page.write(json.loads(options.out.read_text()))


if __name__ == "__main__":
    main()
