"""Averages of weights over training, and the reconstruction of one of any length from snapshots of a few."""

import abc
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ReverieError
from ..files import Shapes, load_tensors, must_fit, save_tensors
from ..headers import header


class Rule(abc.ABC):
    """How much of an average is kept when training goes from one count of samples seen to the next."""

    @abc.abstractmethod
    def keep(self, before: int, after: int) -> float:
        """The share, in [0, 1], of the old average; 0 at the first step."""


@dataclass(frozen=True)
class Warmed(Rule):
    """Exponential with a half-life in samples, shorter at first: min(half_life, ramp seen).

    Karras et al. 2020, https://arxiv.org/abs/1912.04958, whose ramp is 0.05
    """

    half_life: float = 500_000
    ramp: float = 0.05

    def keep(self, before, after):
        return 0.5 ** ((after - before) / max(min(self.half_life, self.ramp * before), 1e-9)) if before else 0.0


@dataclass(frozen=True)
class Power(Rule):
    """The average of weights under the density (gamma + 1) t^gamma / T^(gamma + 1): its length grows with training.

    `std` is the deviation of that density, as a share of T. Karras et al. 2024, https://arxiv.org/abs/2312.02696
    """

    std: float = 0.1

    def keep(self, before, after):
        return (before / after) ** (exponent(self.std) + 1)


def exponent(std: float) -> float:
    """gamma > 0 of the power density of that relative deviation, which lies below sqrt(1 / 12):

    std^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)),    a cubic in gamma
    """
    if not 1e-4 <= std < 12**-0.5:
        raise ReverieError(f"the length of an average is between 0.0001 and 0.288 of the training, not {std}")
    roots = np.roots([1, 7, 16 - std**-2, 12 - std**-2])
    return float(roots.real.max())


class Average:
    """The average of a module's parameters, and its latest buffers, in float32; what is frozen is no part of it."""

    def __init__(self, module: nn.Module, rule: Rule) -> None:
        self.rule = rule
        frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        self.tensors = {
            name: tensor.detach().clone().float() for name, tensor in weights_of(module).items() if name not in frozen
        }

    @torch.no_grad()
    def update(self, module: nn.Module, before: int, after: int) -> None:
        """Takes in the weights reached at `after` samples; the last update was at `before`."""
        now = weights_of(module)
        kept = self.rule.keep(before, after)
        torch._foreach_lerp_(list(self.tensors.values()), [now[name].float() for name in self.tensors], 1 - kept)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """What a module saves, by name, floating-point tensors alone."""
    return {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}


def overlap(t: Tensor, gamma: Tensor, other_t: Tensor, other_gamma: Tensor) -> Tensor:
    """The inner product of the densities of two power averages that end at t and other_t; all broadcast.

    integral over [0, min] = (g + 1) (h + 1) / (g + h + 1) min(t, u)^(g + h + 1) / (t^(g + 1) u^(h + 1))
    """
    ratio = torch.where(t < other_t, (t / other_t) ** other_gamma, (other_t / t) ** gamma)
    return (gamma + 1) * (other_gamma + 1) / (gamma + other_gamma + 1) * ratio / torch.maximum(t, other_t)


def mixture(snapshots: Iterable[tuple[float, int]], std: float, seen: int) -> Tensor:
    """The weights (n,) of snapshots (std, seen) whose sum is nearest, in the mean square over time, to the average of
    another length at `seen`; float64. Karras et al. 2024, appendix C
    """
    t = torch.tensor([float(at) for _, at in snapshots], dtype=torch.float64)
    gamma = torch.tensor([exponent(length) for length, _ in snapshots], dtype=torch.float64)
    wanted_t, wanted = torch.tensor(float(seen), dtype=torch.float64), torch.tensor(exponent(std), dtype=torch.float64)
    scale = (overlap(t, gamma, t, gamma)).rsqrt()  # of unit norm, the system is better conditioned
    gram = scale[:, None] * overlap(t[:, None], gamma[:, None], t, gamma) * scale
    right = scale * overlap(t, gamma, wanted_t, wanted)
    return scale * torch.linalg.lstsq(gram, right[:, None], driver="gelsd").solution[:, 0]


def snapshot(folder: Path, average: Average, seen: int) -> Path:
    """Writes a power average beside others, for `reconstruct`."""
    assert isinstance(average.rule, Power)
    path = Path(folder) / f"{average.rule.std:.3f}-{seen:010d}.safetensors"
    save_tensors(path, average.tensors)
    return path


def reconstruct(folder: Path, std: float, seen: int | None = None, shapes: Shapes | None = None) -> dict[str, Tensor]:
    """The average of any length from the snapshots in a folder, as it would have been at `seen`, the last by default.

    Of what was trained: tensors that were frozen are not there. Raises ReverieError where there are no snapshots, and where one
    holds other tensors than the others, or of other shapes than `shapes` says.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        if match := re.fullmatch(r"(0\.\d{3})-(\d{10})", path.stem):
            found[float(match[1]), int(match[2])] = path
    if not found:
        raise ReverieError(
            f"{folder} holds no snapshots of averages: train with snapshots to choose a length afterwards"
        )
    seen = max(at for _, at in found) if seen is None else seen
    found = {key: path for key, path in found.items() if key[1] <= seen}
    needed: Shapes | None = None
    for path in found.values():
        here = {name: one.shape for name, one in header(path).items()}
        if needed is None:
            needed = here if shapes is None else {name: shape for name, shape in shapes.items() if name in here}
        must_fit(here, needed, str(path), "the other averages")
    total: Mapping[str, Tensor] = {}
    for share, path in zip(mixture(list(found), std, seen), found.values(), strict=True):
        part = load_tensors(path)
        total = {name: total.get(name, 0) + share * tensor.double() for name, tensor in part.items()}
    return {name: tensor.float() for name, tensor in total.items()}
