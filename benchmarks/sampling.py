"""Images a second at equal quality, ours beside three peers': python -m benchmarks.sampling WORK

WORK is that of `benchmarks.time_to_quality`, whose networks of 10 minutes these are. Each is sampled by up to three of its own
samplers at a ladder of evaluations, 2048 samples each, for the distance, ours without guidance by its early self, which costs a
second evaluation, and again after the Gaussians of its data (`gaussian+` before the sampler's name); then, with --speeds and on
an idle machine, what an evaluation takes for each, in turns on two threads. Stages are files in WORK and are not done twice.
Writes docs/sampling.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import reverie
from reverie import discover, samplers
from reverie.samplers.base import Sampler
from reverie.training.memory import keep_freed

from .quality_peers import PEERS
from .time_to_quality import COUNT, EDGE, Eyes, Work, ask

OUT = Path(__file__).parent.parent / "docs" / "sampling.json"
LADDER, FEWEST = (5, 8, 12, 20, 50), 4
"""Evaluations of each, and a number at which ours are as near as peers are at 5."""
OURS = ("dpmpp_2m", "unipc", "dpmpp_2m_sde")
STARTED, AFTER = ("gaussian+dpmpp_2m", "gaussian+dpmpp_2m_sde"), (1, 2, 3, 4, 5, 8, 12, 20)
"""What begins with Gaussians, and its evaluations."""
TIMED, STEPS, ROUNDS = 128, 8, 5
"""Samples and evaluations of a turn, and turns."""


def evaluations(sampler: str, steps: int) -> int:
    """What a peer's sampler takes: Heun's last step is of one."""
    return 2 * ((steps + 1) // 2) - 1 if sampler == "heun" else steps


def ours(work: Work, sampler: str, steps: int, count: int) -> tuple[torch.Tensor, float]:
    system: Any = reverie.load(work.folder / "run-10")
    *start, name = sampler.split("+")
    chosen = discover.parse("sampler", samplers, Sampler, name)  # type: ignore[type-abstract]
    started = time.perf_counter()
    raw = system.generate(count, seed=0, scale=1.0, sampler=chosen, sample_steps=steps, batch=128,
                          start=(*start, "noise")[0]).raw  # fmt: skip
    passed = time.perf_counter() - started
    return raw[..., EDGE:-EDGE, EDGE:-EDGE].round().clamp(0, 255).to(torch.uint8), passed


def distances(work: Work, eyes: Eyes, only: str | None, done: bool = False) -> dict[str, Any]:
    """{library: {"sampler evaluations": distance}}; with `done`, of what was measured already alone."""
    found: dict[str, Any] = {}

    def measured(name: str, sampler: str, steps: int, make: Callable[[], float]) -> None:
        stage = f"sampling-{name}-{sampler}-{steps}"
        if not done or (work.folder / f"{stage}.json").exists():
            found.setdefault(name, {})[f"{sampler} {evaluations(sampler, steps)}"] = work.done(stage, make)

    if only in (None, "ours"):
        for steps, sampler in (*product((FEWEST, *LADDER), OURS), *product(AFTER, STARTED)):
            measured("ours", sampler, steps, lambda a=sampler, b=steps: eyes(ours(work, a, b, COUNT)[0]))  # type: ignore[misc]
    for name in PEERS:
        if only not in (None, name) or not (work.folder / f"{name}-10.json").exists():
            continue
        process = peer(work, name)
        for steps, sampler in product(LADDER, PEERS[name].samplers):
            measured(name, sampler, steps, lambda n=name, p=process, a=sampler, b=steps: theirs(work, eyes, p, n, a, b))  # type: ignore[misc]
        process.end()
    return found


def theirs(work: Work, eyes: Eyes, process: Any, name: str, sampler: str, steps: int) -> float:
    out, which = work.folder / f"sampling-{name}-{sampler}-{steps}.npy", weights(work, name)
    ask(process, "sample", state=str(work.folder / f"{name}-10-minutes.pt"), which=which, count=COUNT, evaluations=steps,
        out=str(out), sampler=sampler)  # fmt: skip
    return eyes(torch.from_numpy(np.load(out))[:, None])


def weights(work: Work, name: str) -> str:
    """The better state of a peer's weights."""
    return str(json.loads((work.folder / f"{name}-10.json").read_text())["weights"])


def peer(work: Work, name: str) -> Any:
    speeds = json.loads((work.folder / "speeds.json").read_text())
    dtype = min(("float32", "bfloat16"), key=lambda dtype: speeds[f"{name}, {dtype}"]["seconds"])
    return work.peer(name, dtype, work.threads)


def speeds(work: Work) -> dict[str, list[float]]:
    """Seconds of an evaluation of one sample, in turns, on two threads."""
    processes = {name: peer(work, name) for name in PEERS if (work.folder / f"{name}-10.json").exists()}
    found: dict[str, list[float]] = {name: [] for name in ("ours", *processes)}
    for turn in range(ROUNDS + 1):  # the first makes buffers
        order = list(found)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            if name == "ours":
                passed = ours(work, OURS[0], STEPS, TIMED)[1]
            else:
                state, out = work.folder / f"{name}-10-minutes.pt", work.folder / "timed.npy"
                passed = ask(processes[name], "sample", state=str(state), which=weights(work, name), count=TIMED,
                             evaluations=STEPS, out=str(out))  # fmt: skip
            found[name] += [passed / TIMED / STEPS] if turn else []
    for one in processes.values():
        one.end()
    return found


def fastest(points: dict[str, float], seconds: float, most: float) -> tuple[str, float] | None:
    """The sampler and the images a second of the quickest that comes to at most that distance."""
    good = [(name, 1 / (int(name.split()[1]) * seconds)) for name, distance in points.items() if distance <= most]
    return max(good, key=lambda one: one[1], default=None)


def compared(found: dict[str, dict[str, float]], seconds: dict[str, float]) -> list[dict[str, Any]]:
    """From the nearest on, each peer's point that no nearer one of any peer is as quick as; ours at most as far away."""
    points = [(distance, -1 / (int(label.split()[1]) * seconds[name]), name, label)
              for name, each in found.items() if name != "ours" for label, distance in each.items()]  # fmt: skip
    quickest, rows = 0.0, []
    for distance, less, name, label in sorted(points):
        if -less > quickest:
            quickest = -less
            ours = fastest(found["ours"], seconds["ours"], distance)
            rows.append({"peer": name, "distance": distance, "theirs": (label, quickest), "ours": ours})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--threads", type=int, default=2, help="of all but the speeds, which are of two")
    parser.add_argument("--only", help="ours, or one of the peers")
    parser.add_argument("--done", action="store_true", help="write of what was measured already, and measure no more")
    parser.add_argument("--speeds", action="store_true", help="measure the speeds alone, which needs an idle machine")
    given = parser.parse_args()
    keep_freed()
    torch.set_num_threads(2 if given.speeds else given.threads)
    work = Work(given.work, given.work / "ddp", 2 if given.speeds else given.threads)
    if given.speeds:
        (work.folder / "sampling-speeds.json").unlink(missing_ok=True)
        work.done("sampling-speeds", lambda: speeds(work))
        return
    found = distances(work, Eyes(), given.only, given.done)
    timed = work.folder / "sampling-speeds.json"
    if given.only or not timed.exists():
        return
    each = {name: median(times) for name, times in json.loads(timed.read_text()).items()}
    equal = compared(found, each)
    OUT.write_text(json.dumps({"distances": found, "seconds": each, "equal": equal}, indent=1) + "\n")


if __name__ == "__main__":
    main()
