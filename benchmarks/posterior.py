"""Posterior samplers against exact posteriors, azula's beside them: python -m benchmarks.posterior

Every method draws as many samples of each measurement, at as many calls of the denoiser a returned sample (particles
counted). Writes docs/posterior.json, then docs/posterior.md, which --render alone does from what is there.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import stdev
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from reverie.core.grids import Restart, Uniform
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture
from reverie.core.schedules import Schedule
from reverie.posterior.daps import DAPS
from reverie.posterior.ddnm import DDNM
from reverie.posterior.ddnm_plus import DDNMPlus
from reverie.posterior.ddrm import DDRM
from reverie.posterior.diffpir import DiffPIR
from reverie.posterior.dps import DPS
from reverie.posterior.mmps import MMPS
from reverie.posterior.pigdm import PiGDM
from reverie.posterior.replacement import RePaint, Replacement
from reverie.posterior.tds import TDS
from reverie.posterior.tmpd import TMPD
from reverie.samplers.ddpm import DDPM

from . import posterior_page
from .posterior_problems import SEED, Problem, digits, plane

Method = Callable[[Problem, int], Tensor]
"""(problem, run) to samples (Y, n, D)."""
JUMP, REPEATS = 1, 3
"""Of RePaint, azula's."""


def rows(problem: Problem) -> Tensor:
    """y for each sample."""
    return problem.y.repeat_interleave(problem.samples, 0)


def started(problem: Problem, run: int) -> tuple[Tensor, Seeded]:
    """x_1 (Y n, *) and the noise of the way."""
    count = len(problem.y) * problem.samples
    noise = Seeded.at(run, range(count))
    return problem.denoiser.schedule.start(noise.draw(torch.empty(count, *problem.shape))), noise


def gathered(problem: Problem, x: Tensor) -> Tensor:
    return x.reshape(len(problem.y), problem.samples, -1)


def changed(make: Callable[[Problem], Any], restarts: bool = False) -> Method:
    """A guess that is changed, in the steps of DDPM."""

    def method(problem: Problem, run: int) -> Tensor:
        x, noise = started(problem, run)
        return gathered(problem, DDPM()(make(problem), x, walk(problem, problem.steps, restarts), noise))

    return method


def stepped(make: Callable[[Problem], Any], share: int = 1) -> Method:
    """A sampler, on a grid of a `share`-th of the steps."""

    def method(problem: Problem, run: int) -> Tensor:
        x, noise = started(problem, run)
        return gathered(problem, make(problem)(problem.denoiser, x, walk(problem, problem.steps // share), noise))

    return method


def twisted(share: int = 1, restarts: bool = False, **options: float) -> Method:
    """`share` times the particles, on a grid of a `share`-th of the steps; every `share`-th is returned."""

    def method(problem: Problem, run: int) -> Tensor:
        schedule, (Y, n) = problem.denoiser.schedule, (len(problem.y), problem.samples)
        noise = Seeded.at(run, range(Y))
        x = schedule.start(noise.draw(torch.empty(Y, share * n, *problem.shape)))
        sampler = TDS(problem.y, problem.operator, problem.std_y, **options)  # type: ignore[arg-type]
        grid = walk(problem, problem.steps // share, restarts)
        return sampler(problem.denoiser, x, grid, noise)[:, ::share].flatten(2)

    return method


RESTART = (4, 2, 0.15, 0.58)
"""Steps, repeats and the noise between which a sampler goes down again, at a log-SNR at which TDS weighs no more."""


def walk(problem: Problem, steps: int, restarts: bool = False) -> Tensor:
    """The times of so many calls, evenly down but for what restarts take."""
    schedule = problem.denoiser.schedule
    if not restarts:
        return Uniform(steps)(schedule)
    again = RESTART[0] * RESTART[1]
    return Restart(Uniform(steps - again), (RESTART,))(schedule)


def _args(problem: Problem) -> tuple[Tensor, Any, float]:
    return rows(problem), problem.operator, problem.std_y


OURS: dict[str, Method] = {
    "DPS": changed(lambda p: DPS(p.denoiser, *_args(p))),
    "PiGDM": changed(lambda p: PiGDM(p.denoiser, *_args(p))),
    "DDNM": changed(lambda p: DDNM(p.denoiser, *_args(p)[:2])),
    "MMPS": changed(lambda p: MMPS(p.denoiser, *_args(p))),
    "MMPS, 1 iteration": changed(lambda p: MMPS(p.denoiser, *_args(p), iterations=1)),
    "TMPD": changed(lambda p: TMPD(p.denoiser, *_args(p))),
    "Replacement": stepped(lambda p: Replacement(*_args(p))),
    "RePaint": stepped(lambda p: RePaint(*_args(p), jump=JUMP, repeats=REPEATS), REPEATS),
    "DiffPIR": stepped(lambda p: DiffPIR(*_args(p))),
    "DDNM+": stepped(lambda p: DDNMPlus(*_args(p))),
    "DDRM": stepped(lambda p: DDRM(*_args(p))),
    "DAPS": stepped(lambda p: DAPS(*_args(p), steps=4), 4),
    "TDS": twisted(),
    "TDS, to the end": twisted(until=math.inf),
    "TDS, 2 n particles": twisted(2),
    "TDS, restarts": twisted(restarts=True),
    "TDS, 2 n, restarts": twisted(2, restarts=True),
    "MMPS, restarts": changed(lambda p: MMPS(p.denoiser, *_args(p)), restarts=True),
}


@dataclass(frozen=True)
class AzulasCosine(Schedule):
    """The quarter circle as azula has it, which never reaches its ends: at them its methods divide by zero."""

    def alpha(self, t):
        return torch.cos(math.acos(1e-3) * t)

    def sigma(self, t):
        return torch.sqrt(1 - self.alpha(t) ** 2 + 1e-6)


class Adapted(torch.nn.Module):
    """Our denoiser of vectors as azula asks it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        d = problem.mixture
        self.denoiser = Mixture(AzulasCosine(), d.weights, d.means, d.stds, d.axes)
        self.schedule = lambda t: tuple(part.to(torch.float32) for part in AzulasCosine()(t))

    def forward(self, x_t: Tensor, t: Tensor) -> Any:
        return SimpleNamespace(mean=self.denoiser(x_t, t).x_hat)


def azula() -> dict[str, Method]:
    """Each as its class is by default but for the iterations of MMPS, on the same grid; denoisers in the steps of DDPM."""
    from azula.guidance import diffpir, dps, jfps, mmps, pgdm, repaint, tds, tmpd
    from azula.linalg.covariance import IsotropicCovariance
    from azula.sample import DDPMSampler

    def parts(problem: Problem) -> tuple[Any, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        def forward(x: Tensor) -> Tensor:
            return problem.operator(x.reshape(-1, *problem.shape)).flatten(1)

        def inverse(y: Tensor) -> Tensor:
            return problem.operator.pseudo_inverse(y.reshape(-1, *problem.y.shape[1:])).flatten(1)

        return Adapted(problem), forward, inverse

    def ran(problem: Problem, run: int, sampler: Any) -> Tensor:
        torch.manual_seed(run)
        x, _ = started(problem, run)
        return gathered(problem, sampler(x.flatten(1)))

    def denoiser(make: Callable[..., Any]) -> Method:
        def method(problem: Problem, run: int) -> Tensor:
            d, A, _ = parts(problem)
            made = make(d, rows(problem).flatten(1), A, problem.std_y)
            return ran(problem, run, DDPMSampler(made, steps=problem.steps, silent=True))

        return method

    def sampler(make: Callable[..., Any]) -> Method:
        def method(problem: Problem, run: int) -> Tensor:
            return ran(problem, run, make(*parts(problem), rows(problem).flatten(1), problem.steps))

        return method

    def repainted(problem: Problem, run: int) -> Tensor:
        if "mask" not in problem.name and problem.name != "plane":
            raise NotImplementedError
        known = problem.operator.known.flatten().expand(problem.mixture.means.shape[1])  # type: ignore[attr-defined]
        made = repaint.RePaintSampler(
            Adapted(problem),
            rows(problem).flatten(1),
            known,
            iterations=REPEATS,
            eta=1.0,
            steps=problem.steps // REPEATS,
            silent=True,
        )
        return ran(problem, run, made)

    def particles(problem: Problem, run: int) -> Tensor:
        torch.manual_seed(run)
        d, A, _ = parts(problem)
        x, _ = started(problem, run)
        found = []
        for y, start in zip(problem.y.flatten(1), x.flatten(1).chunk(len(problem.y))):

            def twist(x_hat: Tensor, ratio: Tensor, y: Tensor = y) -> Tensor:
                v = problem.std_y**2 + ratio**2 / (1 + ratio**2)
                return -((y - A(x_hat)) ** 2 / v + v.log()) / 2

            found.append(tds.TDSSampler(d, twist, steps=problem.steps, silent=True)(start))
        return torch.stack(found)

    iso = IsotropicCovariance
    return {
        "DPS": sampler(lambda d, A, A_inv, y, n: dps.DPSSampler(d, y, A, steps=n, silent=True)),
        "PiGDM": sampler(lambda d, A, A_inv, y, n: pgdm.PGDMSampler(d, y, A, A_inv, eta=1.0, steps=n, silent=True)),
        "MMPS, 1 iteration": denoiser(lambda d, y, A, std: mmps.MMPSDenoiser(d, y, A, iso(torch.tensor(std**2)))),
        "MMPS": denoiser(lambda d, y, A, std: mmps.MMPSDenoiser(d, y, A, iso(torch.tensor(std**2)), iterations=10)),
        "TMPD": denoiser(lambda d, y, A, std: tmpd.TMPDenoiser(d, y, A, std**2)),
        "JFPS": denoiser(
            lambda d, y, A, std: jfps.JFPSDenoiser(d, y, A, iso(torch.tensor(std**2)), iso(torch.tensor(1.0)))
        ),
        "DiffPIR": denoiser(lambda d, y, A, std: diffpir.DiffPIRDenoiser(d, y, A, std**2)),
        "RePaint": repainted,
        "TDS": particles,
    }


def measured(problem: Problem, method: Method, runs: int) -> dict[str, float] | None:
    """Figures, the mean over some runs, and of that of the distances the deviation; None where the method is not defined."""
    try:
        found = [problem.figures(method(problem, run).nan_to_num(1e3).clamp(-1e3, 1e3)) for run in range(runs)]
    except NotImplementedError:
        return None
    figures = {name: sum(one[name] for one in found) / runs for name in found[0]}
    figures["error"] = stdev(one["distance"] for one in found) / math.sqrt(runs)
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def measure(problems: list[Problem], runs: int, names: list[str]) -> None:
    result: dict[str, Any] = {"seed": SEED, "problems": {}}
    methods = {"ours": OURS, "azula": azula()}
    for problem in problems:
        before = time.process_time()
        found: dict[str, Any] = {
            "samples": problem.samples, "steps": problem.steps, "measurements": len(problem.y),
            "runs": runs, "floor": float(f"{problem.floor:.4g}"),
            "prior": float(f"{problem.distance(prior(problem)):.4g}"),
        }  # fmt: skip
        for library, known in methods.items():
            found[library] = {
                name: measured(problem, method, found["runs"])
                for name, method in known.items()
                if not names or name in names
            }
        result["problems"][problem.name] = found
        best = {
            library: min((one["distance"], name) for name, one in found[library].items() if one) for library in methods
        }
        print(f"{problem.name}: floor {found['floor']}, {best}, {time.process_time() - before:.0f} s", flush=True)
        if names:
            print(json.dumps(found))
        else:
            posterior_page.DATA.write_text(json.dumps(result, indent=1) + "\n")


def prior(problem: Problem) -> Tensor:
    """Samples that do not know of the measurement."""
    return torch.stack([problem.mixture.sample(Seeded.at(SEED, range(problem.samples), "prior"))] * len(problem.y))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="*", help="some of them; without it all")
    parser.add_argument("--methods", nargs="*", default=[], help="some of them, printed alone")
    parser.add_argument("--runs", type=int, default=4, help="scores are the mean over so many, as the floor is")
    parser.add_argument("--render", action="store_true", help="only write the page, from what was measured")
    options = parser.parse_args()
    if options.runs < 2:
        parser.error("--runs is 2 or more: of one, no error can be told")
    torch.set_num_threads(1)
    if not options.render:
        problems = [p for p in [plane(), *digits()] if not options.problems or p.name in options.problems]
        measure(problems, options.runs, options.methods)
    if not options.methods:
        posterior_page.write()


if __name__ == "__main__":
    main()
