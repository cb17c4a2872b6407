"""Forward and back: noising, and undoing it with the exact answer."""

import torch

from ..core.denoisers import Preconditioned
from ..core.noise import Seeded
from ..core.schedules import onto
from .base import Examination, Finding, passed

BOUND = 1e-9


class Inverse(Examination):
    """The schedule runs from data to noise; x_t with the network's exact target gives x back, in float64, at many times."""

    order = 15

    def examine(self, patient):
        schedule, parameterization = patient.schedule, patient.parameterization
        t = torch.linspace(0, 1, 101, dtype=torch.float64)
        (alpha, sigma), snr = schedule(t), schedule.log_snr(t)
        ends = abs(alpha[0].item() - 1) + abs(sigma[0].item())
        if not (alpha.isfinite() & sigma.isfinite()).all() or ends > 1e-6 or not (snr[1:].diff() < 0).all():
            yield Finding(
                "fault", f"{schedule} does not go from data at t = 0 to more and more noise", "take another", ends
            )
        else:
            yield passed(f"{schedule}: log-SNR falls all the way, to {snr[-1].item():.3g}")
        t = t[1:-1]
        x = torch.linspace(-1, 1, 7, dtype=torch.float64) * patient.codec.std
        x, eps = x.expand(len(t), 7), Seeded.at(0, range(len(t)), "inverse").draw(torch.empty(len(t), 7)).double()
        alpha, sigma, a, b = onto(x, *schedule(t), *parameterization.target(*schedule(t)))
        _, c_skip, c_out = onto(x, *parameterization(*schedule(t)))
        x_t, target = alpha * x + sigma * eps, a * x + b * eps
        scale = 1 + (c_skip * x_t).abs() + (c_out * target).abs()
        gap = ((c_skip * x_t + c_out * target - x) / scale).abs().max().item()
        if gap <= BOUND:
            yield passed(f"{parameterization}: from the exact target back to x at {len(t)} times, off by {gap:.1g}",
                         gap, BOUND)  # fmt: skip
        else:
            yield Finding("fault", f"{parameterization}: the exact target does not give x back, off by {gap:.3g}",
                          "its coefficients and its target contradict each other", gap, BOUND)  # fmt: skip
        try:
            Preconditioned(torch.nn.Identity(), schedule, parameterization, patient.noise_input)
        except ValueError as error:
            yield Finding("fault", str(error), "see what the examination `prediction` finds")
