"""An exponential Rosenbrock method."""

from dataclasses import dataclass

import torch

from ..core.schedules import onto
from .base import Cost, Sampler
from .exponential import phi
from .history import guess
from .runge_kutta import angle, moved, slope, time


@dataclass(frozen=True)
class Rosenbrock(Sampler):
    """Solves the flow that is left over from DDIM's step, linearised, exactly: large steps through stiff parts.

        dz / da = g(a, z),  g = 0 at the start    =>    z_s = h^2 phi_2(h J) v,    v = dg / da,  J = dg / dz

    with h the step in the angle a = atan(sigma / alpha). Jacobian-free: v is g / (2 h / 3) two thirds along DDIM's step,
    J z the change of g there when x is moved by z = (2 h / 3)^2 v / 2. Of J, phi_2 sees its mean j along z, one number
    a sample (Krylov dimension 1), and the rest of J v enters by Saad's correction h^3 phi_3(h j) (J v - j v): order 3.
    Regular at both ends. Hochbruck, Ostermann & Schweitzer 2009, https://doi.org/10.1137/080717717;
    Saad 1992, https://doi.org/10.1137/0729014
    """

    order = 3

    @property
    def evaluations(self):
        return Cost(3)

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        start, h = angle(schedule, t), angle(schedule, s) - angle(schedule, t)
        u, (part,) = time(schedule, start + 2 / 3 * h), onto(x_t, 2 / 3 * h)
        g = slope(denoiser, now, moved(schedule, now, u, torch.zeros_like(x_t)), u)
        v, z = g / part, part * g / 2
        Jz = slope(denoiser, now, moved(schedule, now, u, z), u) - g
        axes = tuple(range(1, x_t.ndim))
        square = (z * z).sum(axes)
        j = torch.where(square > 0, (z * Jz).sum(axes) / square, 0).double().cpu()
        phi_2, phi_3, (j,) = *onto(x_t, h**2 * phi(2, h * j), h**3 * phi(3, h * j)), onto(x_t, j)
        Jv = Jz * 2 / onto(x_t, (2 / 3 * h) ** 2)[0]
        return moved(schedule, now, s, phi_2 * v + phi_3 * (Jv - j * v)), memory
