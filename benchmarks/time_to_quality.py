"""How good samples are after so many minutes of training, ours beside three peers': python -m benchmarks.time_to_quality WORK

Fashion-MNIST with a border, 32 x 32, without classes, two threads. What each takes for an update is measured in turns, in one
run; then each trains for as many updates as its minutes hold, so that the figures are those of an idle machine whatever else
runs beside. Each stage leaves its files in WORK and is not done twice; hours in all. Writes docs/time_to_quality.json.

Peers train at the best of four learning rates (tried for two minutes), in bfloat16 where that is faster for them, and are shown
with the better of their raw and averaged weights. denoising-diffusion-pytorch needs an environment of its own (--ddp):

    python -m venv DDP && DDP/bin/pip install torch==2.14.1 torchvision==0.29.1 denoising-diffusion-pytorch==2.3.4
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

import reverie
from reverie import discover, samplers
from reverie.data import builtin
from reverie.features.classifier import Classifier
from reverie.metrics.frechet import Moments, gaussian_distance
from reverie.metrics.ladder import noisy
from reverie.recipes.arrays import Arrays
from reverie.recipes.trial import settle
from reverie.samplers.base import Sampler
from reverie.training.memory import keep_freed

from .pipeline import Loop
from .processes import Process
from .quality_peers import EVALUATED

OUT = Path(__file__).parent.parent / "docs" / "time_to_quality.json"
PEERS = ("azula", "diffusers", "denoising-diffusion-pytorch")
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
TRY, MINUTES = 2, (5, 10)
EDGE, COUNT, FEW = 2, 2048, 256
"""The border, samples of a figure, and samples that choose among weights and learning rates."""
EVALUATIONS = 25
"""Of the peers' DDIM, and of ours by default."""


class Work:
    """The folder of what was done; a stage is a file, made whole or not at all."""

    def __init__(self, folder: Path, ddp: Path, threads: int) -> None:
        self.folder, self.ddp, self.threads = folder, ddp, threads
        folder.mkdir(parents=True, exist_ok=True)
        self.pictures = folder / "fashion32.npy"
        if not self.pictures.exists():
            raw = np.pad(builtin.load("fashion_mnist").raw.numpy(), ((0, 0), (0, 0), (EDGE, EDGE), (EDGE, EDGE)))
            with open(folder / "part", "wb") as file:
                np.save(file, raw)
            (folder / "part").rename(self.pictures)

    def done(self, name: str, make: Callable[[], Any]) -> Any:
        path = self.folder / f"{name}.json"
        if not path.exists():
            started = time.monotonic()
            text = json.dumps(make())
            path.write_text(text)
            print(f"{name}: {text} ({time.monotonic() - started:.0f} s)", flush=True)
        return json.loads(path.read_text())

    def peer(self, name: str, dtype: str, threads: int) -> Process:
        python = str(self.ddp / "bin" / "python") if name == "denoising-diffusion-pytorch" else sys.executable
        script = str(Path(__file__).with_name("quality_peers.py"))
        return Process(f"{name} in {dtype}", [python, script, name, dtype, str(self.pictures), str(threads)])


def ask(process: Process, do: str, **told: Any) -> Any:
    return process.ask(json.dumps({"do": do, **told}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="a folder, where what is done is kept")
    parser.add_argument("--ddp", type=Path, help="the environment of denoising-diffusion-pytorch; WORK/ddp by default")
    parser.add_argument("--threads", type=int, default=2, help="of all but the speeds, which are of two")
    parser.add_argument("--only", choices=PEERS, help="the stages of one peer alone, without the page's")
    parser.add_argument("--speeds", action="store_true", help="measure the speeds alone, which needs an idle machine")
    parser.add_argument("--be-ours", action="store_true", help="told its turns by standard input")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    work = Work(given.work, given.ddp or given.work / "ddp", given.threads)
    if given.be_ours:
        serve(work)
        return
    if not (work.ddp / "bin" / "python").exists():
        sys.exit(f"denoising-diffusion-pytorch is missing: no environment in {work.ddp}")
    speeds = work.done("speeds", lambda: speeds_of(work))
    if given.speeds:
        return
    eyes = Eyes()
    if given.only:
        peer(work, eyes, speeds, given.only)
        return
    result = {"speeds": speeds, "ladder": work.done("ladder", eyes.ladder), "peers": {}, "ours": {}}
    for minutes in MINUTES:
        result["ours"][minutes] = work.done(f"ours-{minutes}", lambda m=minutes: ours(work, eyes, speeds["ours"], m))  # type: ignore[misc]
    for name in PEERS:
        result["peers"][name] = peer(work, eyes, speeds, name)
        OUT.write_text(json.dumps(result, indent=1) + "\n")


class Eyes:
    """Distances to the test pictures, by the features of the classifier."""

    def __init__(self) -> None:
        self.extractor = Classifier("fashion_mnist")
        data = builtin.load("fashion_mnist")
        assert data.test is not None
        self.train, self.real = data.raw, self.moments(data.test.raw)

    def moments(self, raw: Tensor) -> Moments:
        return Moments.stream(self.extractor.batches(raw))

    def __call__(self, raw: Tensor) -> float:
        """raw: uint8 (N, 1, 28, 28)."""
        found = self.moments(raw)
        return gaussian_distance(found.mean, found.covariance, self.real.mean, self.real.covariance)

    def of(self, path: Path) -> float:
        return self(torch.from_numpy(np.load(path))[:, None])

    def ladder(self) -> dict[str, float]:
        some = self.train[torch.randperm(len(self.train), generator=torch.Generator().manual_seed(3))[:COUNT]]
        return {"real": self(some), **{f"noise {std}": self(noisy(some, std)) for std in (0.05, 0.1)}}


def speeds_of(work: Work, rounds: int = 5, seconds: float = 4.0) -> dict[str, Any]:
    """Seconds an update, in turns: the median, and the parameters."""
    contenders = {
        "ours": Process("ours", [sys.executable, "-m", "benchmarks.time_to_quality", str(work.folder), "--be-ours"])
    }
    contenders |= {f"{name}, {dtype}": work.peer(name, dtype, 2) for name in PEERS for dtype in ("float32", "bfloat16")}
    sizes = {name: ask(one, "size") for name, one in contenders.items()}
    each: dict[str, list[float]] = {name: [] for name in contenders}
    for one in contenders.values():
        ask(one, "speed", seconds=seconds)  # buffers
    for _ in range(rounds):
        for name, one in contenders.items():
            each[name].append(ask(one, "speed", seconds=seconds))
    for one in contenders.values():
        one.end()
    return {name: {"seconds": median(found), "spread": [min(found), max(found)], "parameters": sizes[name]}
            for name, found in each.items()}  # fmt: skip


def recipe_of(work: Work) -> Arrays:
    """What `reverie train fashion32.npy` does, with nothing else asked for."""
    recipe = Arrays(data=str(work.pictures), samples=10**9, dtype="bfloat16", compile="off")
    return settle(recipe, recipe.loaded(), torch.device("cpu"))[0]


def serve(work: Work) -> None:
    """Our loop, as `reverie train` runs it."""
    keep_freed()
    recipe = recipe_of(work)
    loop = Loop(recipe, recipe.loaded())
    for line in sys.stdin:
        told = json.loads(line)
        size = told["do"] == "size"
        print(json.dumps(sum(p.numel() for p in loop.network.parameters()) if size
                         else loop.batch / loop.speed(told["seconds"])), flush=True)  # fmt: skip


def ours(work: Work, eyes: Eyes, speed: dict[str, Any], minutes: int) -> dict[str, Any]:
    """A run of the command line for so many updates, and its samples at what the run has for defaults."""
    folder, batch = work.folder / f"run-{minutes}", Arrays().batch
    updates = round(60 * minutes / speed["seconds"])
    command = [sys.executable, "-m", "reverie", "train"]
    if (folder / "recipe.json").exists():
        command += ["--resume", str(folder)]
    else:
        command += [str(work.pictures), "--samples", str(updates * batch), "--dtype", "bfloat16", "--compile", "off",
                    "--out", str(folder)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(work.threads)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    system: Any = reverie.load(folder)
    sampler = discover.parse("sampler", samplers, Sampler, Arrays().sampler)  # type: ignore[type-abstract]
    raw = (
        system.generate(COUNT, seed=0, sampler=sampler, sample_steps=Arrays().sample_steps, batch=128)
        .raw[..., EDGE:-EDGE, EDGE:-EDGE]
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
    )
    np.save(work.folder / f"ours-{minutes}.npy", raw[:, 0].numpy())
    return {"updates": updates, "seen": updates * batch, "distance": eyes(raw)}


def peer(work: Work, eyes: Eyes, speeds: dict[str, Any], name: str) -> dict[str, Any]:
    dtype = min(("float32", "bfloat16"), key=lambda dtype: speeds[f"{name}, {dtype}"]["seconds"])
    seconds = speeds[f"{name}, {dtype}"]["seconds"]
    process = work.peer(name, dtype, work.threads)
    updates = {minutes: round(60 * minutes / seconds) for minutes in (TRY, *MINUTES)}

    def drawn(state: str, which: str, count: int) -> float:
        out = work.folder / f"{state}-{which}-{count}.npy"
        ask(process, "sample", state=str(work.folder / f"{state}.pt"), which=which, count=count,
            evaluations=EVALUATIONS, out=str(out))  # fmt: skip
        return eyes.of(out)

    def trained(rate: float, total: int, marks: dict[int, str]) -> dict[str, float]:
        return ask(process, "train", rate=rate, updates=total,
                   marks={str(updates[m]): str(work.folder / f"{state}.pt") for m, state in marks.items()})  # fmt: skip

    def tried(rate: float) -> dict[str, Any]:
        state = f"{name}-{rate:g}"
        losses = trained(rate, updates[TRY], {TRY: state})
        return {"loss": losses[str(updates[TRY])],
                **{which: drawn(state, which, FEW) for which in EVALUATED}}  # fmt: skip

    rates = {rate: work.done(f"{name}-{rate:g}", lambda r=rate: tried(r)) for rate in RATES}  # type: ignore[misc]
    rate = min(rates, key=lambda one: min(rates[one]["raw"], rates[one]["averaged"]))
    runs = [(m,) for m in MINUTES] if name == "diffusers" else [MINUTES]  # its rate falls to nothing at the end
    for marks in runs:
        states = {m: f"{name}-{m}-minutes" for m in marks}
        work.done(f"{name}-{max(marks)}-trained", lambda s=states: trained(rate, updates[max(s)], s))  # type: ignore[misc]

    def figure(minutes: int) -> dict[str, Any]:
        state = f"{name}-{minutes}-minutes"
        few = {which: drawn(state, which, FEW) for which in EVALUATED}
        which = min(few, key=lambda one: few[one])
        return {"updates": updates[minutes], "weights": which, "few": few, "distance": drawn(state, which, COUNT)}

    found = {m: work.done(f"{name}-{m}", lambda m=m: figure(m)) for m in MINUTES}  # type: ignore[misc]
    process.end()
    return {"dtype": dtype, "rates": rates, "rate": rate, "minutes": found}


if __name__ == "__main__":
    main()
