"""Whether the network can learn: gradients everywhere, and one batch by heart."""

import copy
import math

import torch

from ..core.schedules import onto
from ..core.weights import Karras
from ..errors import some
from .base import Examination, Finding, passed
from .measures import guess

STEPS = 24
RATE = 2e-3
FRESH_BOUND = 0.6
TRAINED_BOUND = 0.6
"""The loss on one batch after STEPS updates over that before; healthy ones are left with 0.01 to 0.3."""


class Learning(Examination):
    """Gradients reach every parameter, and a few tens of updates lower the loss on one batch of real data with fixed
    noise: from fresh weights of this architecture, and from the run's own.
    """

    order = 60

    def examine(self, patient):
        name = "raw" if "raw" in patient.weights else "ema"
        network = patient.network(name)
        unreached = without_gradient(patient, shaken(patient.initial))
        dead = [one for one in without_gradient(patient, network) if one not in unreached]
        total = sum(1 for _ in network.parameters())
        for names, where in (
            (unreached, f"{type(network).__name__}, whatever its weights"),
            (dead, f"the {name} weights"),
        ):
            if names:
                yield Finding("fault", f"a dead part: no gradient reaches {len(names)} of {total} parameters in {where}: "
                              f"{some(names)}", "what feeds them is zero or not used: see `fresh`, or change the network",
                              len(names), 0, tuple(names))  # fmt: skip
        if not unreached and not dead:
            yield passed(f"gradients reach all {total} parameters", 0, 0)
        for kind, start, bound in (("fresh", patient.initial, FRESH_BOUND), (name, network, TRAINED_BOUND)):
            share = overfit(patient, start)
            said = f"{STEPS} updates on one batch leave {share:.2f} of the loss, from {kind} weights"
            if not share <= bound:
                yield Finding("fault", f"{said}: it cannot learn one batch by heart",
                              "see the gradients above; a larger network, or another parameterization", share, bound)  # fmt: skip
            else:
                yield passed(said, share, bound)


def loss_of(patient, network, told: float = 0.0):
    """The loss on a few real samples, each at one quantile, with fixed noise: unit for knowing nothing.

    `told` is added to the numbers that the network is told.
    """
    batch = patient.batch
    n = 12 if math.prod(batch.z.shape[1:]) <= 256 else 8
    x, eps = batch.z[:n], batch.eps[:n]
    cond = {key: value[:n] + (told if key == "scalars" else 0) for key, value in batch.cond.items()}
    t = patient.times[torch.arange(n) % len(patient.times)]
    alpha_t, sigma_t, weight = onto(x, *patient.schedule(t), Karras(patient.spread)(*patient.schedule(t)))
    x_hat = guess(network, patient.parameterization, patient.noise_input, patient.schedule, alpha_t * x + sigma_t * eps,
                  t, cond)  # fmt: skip
    return (weight * (x_hat - x).square()).mean()


def without_gradient(patient, network) -> list[str]:
    network.zero_grad(set_to_none=True)
    loss_of(patient, network, told=1.0).backward()  # augmentations are zero here, which no gradient passes
    found = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    network.zero_grad(set_to_none=True)
    return found


def shaken(network):
    """A copy with a little noise on every parameter, so that no zero of the initialisation stands in the way."""
    network, generator = copy.deepcopy(network), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=generator))
    return network


def overfit(patient, network) -> float:
    """The loss after STEPS updates over that before; inf where it is not finite."""
    network = copy.deepcopy(network).requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), RATE, betas=(0.9, 0.99))
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 10)
        optimizer.zero_grad()
        loss = loss_of(patient, network)
        if not loss.isfinite():
            return math.inf
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    return min(losses[-5:]) / losses[0]
