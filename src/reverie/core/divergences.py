"""Divergences: the trace of a field's Jacobian, exact or by random probes."""

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .noise import Noise
from .spaces import Space


class Divergence(abc.ABC):
    """tr J = sum_i e_i^T J e_i over a basis, or E[v^T J v] over probes v of unit covariance."""

    exact: bool = False
    together: int = 1
    """How many probes at once: more is faster where `torch.vmap` knows the derivatives of all that f does."""

    @abc.abstractmethod
    def probes(self, like: Tensor, noise: Noise) -> Tensor:
        """(P, B, *): the vectors v of one trajectory, sample i's from its own stream."""

    def __call__(self, f: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), and v^T J v for each probe, (B, P); x (B, *), each row of f depends on its own row of x alone."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = f(x)
            found = []
            for some in probes.split(self.together):
                alone = len(some) == 1
                (Jv,) = torch.autograd.grad(
                    value, x, some[0] if alone else some, retain_graph=True, is_grads_batched=not alone
                )
                found.append((Jv.reshape(some.shape) * some).flatten(2).sum(2))
        return value.detach(), torch.cat(found).mT


@dataclass(frozen=True)
class Exact(Divergence):
    """A basis: as many derivatives an evaluation as a sample has entries, so for small samples."""

    together: int = 1
    exact = True

    def probes(self, like, noise):
        D = like[0].numel()
        return torch.eye(D).to(like).reshape(D, 1, *like.shape[1:]).expand(D, *like.shape)


@dataclass(frozen=True)
class Rademacher(Divergence):
    """Signs, the probes of least variance among those with independent entries, 2 sum_{i != j} J_ij^2 for symmetric J.

    Hutchinson 1989, https://doi.org/10.1080/03610919008812866; Grathwohl et al. 2018, https://arxiv.org/abs/1810.01367
    """

    count: int = 1

    def probes(self, like, noise):
        return torch.stack([(noise.uniform(like) - 0.5).sign().to(like) for _ in range(self.count)])


@dataclass(frozen=True)
class Gaussian(Divergence):
    """Normal probes, whose variance, 2 |J|^2 for symmetric J, does not depend on the basis."""

    count: int = 1

    def probes(self, like, noise):
        return torch.stack([noise.draw(like) for _ in range(self.count)])


def within(space: Space, probes: Tensor) -> Tensor:
    """The probes in the directions that samples may take: E[(Pv)^T J (Pv)] = tr(P J P)."""
    return torch.stack([space.project(v) for v in probes])
