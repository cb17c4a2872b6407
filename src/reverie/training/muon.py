"""Muon: momentum whose matrices are made orthogonal before they are a step; AdamW for all that is no matrix."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial of degree five that, iterated, sends singular values of (0, 1] to 0.7 ... 1.2."""


class Muon(torch.optim.Optimizer):
    """For every matrix W (m, n), with gradient G and orthogonal(U S V^T) = U V^T:

        M <- momentum M + (1 - momentum) G,    W <- W - lr 0.2 sqrt(max(m, n)) orthogonal((1 - momentum) G + momentum M)

    The kernels of a convolution (m, n, *size) are a matrix (m, n size). The factor gives a step the root mean square of
    AdamW's, so that both take one learning rate. Jordan 2024, https://kellerjordan.github.io/posts/muon/; the factor:
    Liu et al. 2025, https://arxiv.org/abs/2502.16982
    """

    def __init__(
        self, matrices: Iterable[Tensor], others: Iterable[Tensor], lr: float = 2e-3, momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-8, weight_decay: float = 0.0,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:  # fmt: skip
        """`betas` and `eps` are AdamW's, for the others; matrices are made orthogonal in `dtype`."""
        self.dtype = dtype
        shared = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas, "eps": eps}
        groups = [{"params": list(matrices), "orthogonal": True}, {"params": list(others), "orthogonal": False}]
        super().__init__([group for group in groups if group["params"]], shared)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if group["weight_decay"] and params:
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            (self._orthogonal if group["orthogonal"] else self._adam)(params, group)
        return loss

    def _orthogonal(self, params: list[Tensor], group: dict[str, Any]) -> None:
        alike = defaultdict(list)
        for p in params:
            alike[p.shape].append(p)
        for shape, same in alike.items():
            grads = [gradient(p) for p in same]
            means = [self._state(p, "momentum") for p in same]
            torch._foreach_lerp_(means, grads, 1 - group["momentum"])
            ahead = torch.stack([g.lerp(m, group["momentum"]) for g, m in zip(grads, means)]).flatten(2)
            scale = 0.2 * max(ahead.shape[1:]) ** 0.5
            steps = orthogonal(ahead.to(self.dtype)).to(same[0].dtype).unflatten(2, shape[1:])
            torch._foreach_add_(same, list(steps.unbind()), alpha=-group["lr"] * scale)

    def _adam(self, params: list[Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for p in params:
            self.state[p].setdefault("step", torch.zeros(()))
        means, squares = ([self._state(p, name) for p in params] for name in ("mean", "square"))
        for p, mean, square in zip(params, means, squares):
            state = self.state[p]
            state["step"] += 1
            n = state["step"].item()
            mean.lerp_(grad := gradient(p), 1 - first)
            square.mul_(second).addcmul_(grad, grad, value=1 - second)
            deviation = (square / (1 - second**n)).sqrt_().add_(group["eps"])
            p.addcdiv_(mean, deviation, value=-group["lr"] / (1 - first**n))

    def _state(self, p: Tensor, name: str) -> Tensor:
        if name not in self.state[p]:
            self.state[p][name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        return self.state[p][name]


def gradient(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """About U V^T for each U S V^T of a stack (K, m, n): singular values end within 0.7 ... 1.2.

    X <- a X + (b A + c A^2) X,    A = X X^T,    from X of Frobenius norm 1
    """
    a, b, c = COEFFICIENTS
    x = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = x / x.float().flatten(1).norm(dim=1).clamp(min=1e-30)[:, None, None].to(x.dtype)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if matrices.shape[1] > matrices.shape[2] else x


EDGES = ("stem", "embed", "head", "conditions", "null")
"""Modules at the ends of a network, whose rows are entries of data or of conditions and not directions of features."""


def parted(loss: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The inner matrices of what a loss trains, and all else: the first and last layers, embeddings, norms, biases."""
    inner: list[Tensor] = []
    others: list[Tensor] = []
    for name, p in loss.named_parameters():
        if p.requires_grad:
            (others if p.ndim < 2 or set(EDGES) & set(name.split(".")) else inner).append(p)
    return inner, others
