"""What the numbers were: samples, losses, schedules and what else must not move unnoticed.

    python tests/goldens.py            # how far today's numbers are from those that are stored
    python tests/goldens.py --write    # renews them, on purpose

Everything is float32 or wider on the CPU, so other processors round otherwise and nothing else: `TOLERANCES` are at
least ten times what other instruction sets (AVX2, AVX-512, AMX) and oneDNN's absence were seen to change.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import reverie
from reverie.core import grids, parameterizations, schedules
from reverie.core.noise import Seeded
from reverie.discover import variants
from reverie.recipes.digits import Digits
from reverie.samplers.base import Sampler
from reverie.samplers.ddim import DDIM
from reverie.samplers.ddpm import DDPM
from reverie.samplers.dpmpp_2m import DPMpp2M
from reverie.samplers.euler import Euler
from reverie.samplers.heun import Heun
from reverie.systems.base import load

STORED = Path(__file__).parent / "golden" / "values.safetensors"
LEVEL = 2 / 255
"""Of a picture, in the range [-1, 1] that samplers work in."""
TOLERANCES = {"samples": 0.01 * LEVEL, "losses": 1e-4, "noise": 1e-5, "tables": 1e-9}
"""Samples: mean absolute difference. The others: the largest one, of losses and tables relative to what is stored."""
SAMPLERS = {"ddim": DDIM(), "ddpm": DDPM(), "dpmpp_2m": DPMpp2M(), "euler": Euler(churn=0.5), "heun": Heun()}
TIMES = torch.tensor([0.01, 0.25, 0.5, 0.75, 0.99], dtype=torch.float64)


def sample(model: str, sampler: Sampler, n: int, scale: float = 1.5, steps: int = 4) -> Tensor:
    """x (n, C, *axes) of the shipped model, float32, before it becomes levels."""
    system = load(model)
    grid = grids.Karras(steps, sigma_min=0.01)(schedules.Cosine())
    noise = Seeded.at(0, range(n))
    denoiser = system.guided(system.values(range(n), ...), n, scale, "float32")  # type: ignore[attr-defined]
    x_1 = denoiser.schedule.start(noise.draw(torch.empty(n, *system.shape)))  # type: ignore[attr-defined]
    return sampler(denoiser, x_1, grid, noise)


def samples() -> dict[str, Tensor]:
    found = {f"digits {name}": sample("digits", sampler, 8) for name, sampler in SAMPLERS.items()}
    return found | {
        f"fashion_mnist {name}": sample("fashion_mnist", SAMPLERS[name], 2) for name in ("dpmpp_2m", "ddpm")
    }


def losses(learning_rate: float = 2e-3) -> dict[str, Tensor]:
    """Of each update of a run of twenty, through the recipe, as its log has them."""
    recipe = Digits(samples=640, batch=32, dtype="float32", warmup=64, learning_rate=learning_rate, checkpoints=1,
                    snapshots=1, network="unet(levels=(16, 32), blocks=1, groups=8)")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        lines = (recipe.run(Path(folder) / "run") / "log.jsonl").read_text().splitlines()
    return {"digits": torch.tensor([json.loads(line)["loss"] for line in lines], dtype=torch.float64)}


def tables() -> dict[str, Tensor]:
    """Of every schedule, parameterization and grid there is."""
    found = {}
    for schedule in variants(schedules, schedules.Schedule):
        found[f"schedule {schedule!r}"] = torch.stack([*schedule(TIMES), schedule.log_snr(TIMES)])
    alpha, sigma = schedules.Cosine()(TIMES)
    for one in variants(parameterizations, parameterizations.Parameterization):
        found[f"parameterization {one}"] = torch.stack([*one(alpha, sigma), *one.target(alpha, sigma)])
    for one in variants(parameterizations, parameterizations.NoiseInput):
        found[f"noise input {one}"] = one(schedules.Cosine(), TIMES)
    for grid in variants(grids, grids.Grid):
        times = grid(schedules.Cosine())
        found[f"grid {grid}"] = times[:: max(1, len(times) // 8)].clone()
    return found


def noise() -> dict[str, Tensor]:
    return {f"seed {seed}": Seeded.at(seed, [0, 7]).draw(torch.empty(2, 3, 5)) for seed in (0, 1)}


GROUPS: dict[str, Callable[[], dict[str, Tensor]]] = {
    "samples": samples,
    "losses": losses,
    "tables": tables,
    "noise": noise,
}


def stored(group: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{group}/"): value for key, value in load_file(STORED).items() if key.startswith(f"{group}/")
    }


def distance(group: str, now: Tensor, then: Tensor) -> float:
    """As the tolerance of the group counts it."""
    if now.shape != then.shape:
        return float("inf")
    gap = (now.double() - then.double()).abs()
    if group in ("losses", "tables"):
        gap = gap / then.double().abs().clamp(min=1e-6)
    return (gap.mean() if group == "samples" else gap.max()).item()


def moved(group: str, now: dict[str, Tensor]) -> list[str]:
    """What is not as it was stored, and by how much. What is new since is not missed: it has contracts of its own."""
    found = []
    for name, then in stored(group).items():
        gap = distance(group, now[name], then) if name in now else float("inf")
        if not gap <= TOLERANCES[group]:
            found.append(f"{group}: {name}: {'gone' if name not in now else f'off by {gap:.3g}'}")
    return found


def main(write: bool) -> int:
    torch.set_num_threads(1)
    now = {group: make() for group, make in GROUPS.items()}
    if write:
        STORED.parent.mkdir(exist_ok=True)
        flat = {f"{group}/{name}": tensor.contiguous() for group, part in now.items() for name, tensor in part.items()}
        save_file(flat, STORED, {"reverie": reverie.__version__})
        print(f"{len(flat)} tensors written, {STORED.stat().st_size:,} bytes")
        return 0
    for group, part in now.items():
        gaps = {name: distance(group, part[name], then) for name, then in stored(group).items() if name in part}
        worst = max(gaps, key=lambda name: gaps[name])
        print(f"{group:<10} {len(gaps):3d} compared, at most {gaps[worst]:.3g} of {TOLERANCES[group]:.3g} ({worst})")
    faults = [fault for group, part in now.items() for fault in moved(group, part)]
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv))
