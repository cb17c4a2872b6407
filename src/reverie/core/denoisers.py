"""Denoisers guess the clean sample: x_hat(x_t, t) ~ E[x | x_t]. Everything that samples needs only that."""

import abc
from collections.abc import Mapping
from copy import copy
from types import MappingProxyType
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from .parameterizations import Karras, LogSNR, NoiseInput, Parameterization
from .schedules import Schedule, onto


class Estimate(NamedTuple):
    """A guess of the clean sample; all fields have the shape of x_t.

    `eps_hat` is given where it differs from (x_t - alpha_t x_hat) / sigma_t or is known more exactly, `fraction` by
    networks that learn a variance: where its logarithm lies between the two bounds of the step that the sampler takes,
    0 at the lower and 1 at the upper.
    """

    x_hat: Tensor
    eps_hat: Tensor | None = None
    fraction: Tensor | None = None

    def eps(self, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """The noise that goes with the guess; sigma_t > 0."""
        alpha_t, sigma_t = onto(x_t, alpha_t, sigma_t)
        return (x_t - alpha_t * self.x_hat) / sigma_t if self.eps_hat is None else self.eps_hat


class Denoiser(nn.Module, abc.ABC):
    schedule: Schedule
    remembers: tuple[str, ...] = ()
    """Attributes that are None when a trajectory begins."""

    @abc.abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, **cond: Tensor) -> Estimate:
        """x_t (B, *), float32 or wider; t in float64 on the CPU, `()`, `(B,)` or broadcastable against x_t."""

    def given(self, **cond: Tensor) -> "Denoiser":
        """The denoiser of p(x | cond): the same network with its condition filled in."""
        return Given(self, cond)

    def begin(self) -> Self:
        """The instance for one trajectory: what a wrapper remembers starts afresh, weights are shared."""
        return _afresh(self, {})


def _afresh(module, done: dict[int, nn.Module]):
    """A copy of every Denoiser in the tree; two wrappers of one denoiser are two wrappers of one copy."""
    if not any(isinstance(part, Denoiser) for part in module.modules()):
        return module
    if id(module) not in done:
        done[id(module)] = fresh = copy(module)
        fresh.__dict__ |= dict.fromkeys(getattr(module, "remembers", ()))
        fresh._modules = {name: part and _afresh(part, done) for name, part in module._modules.items()}
    return done[id(module)]


class Given(Denoiser):
    def __init__(self, denoiser: Denoiser, cond: dict[str, Tensor]) -> None:
        super().__init__()
        self.denoiser, self.cond, self.schedule = denoiser, cond, denoiser.schedule

    def forward(self, x_t, t, **cond):
        return self.denoiser(x_t, t, **self.cond, **cond)


class Beside(Denoiser):
    """The denoiser that is told the same `maps` (1, M, *axes) of each sample."""

    def __init__(self, denoiser: Denoiser, maps: Tensor) -> None:
        super().__init__()
        self.denoiser, self.maps, self.schedule = denoiser, maps, denoiser.schedule

    def forward(self, x_t, t, **cond):
        return self.denoiser(x_t, t, maps=self.maps.expand(len(x_t), *self.maps.shape[1:]), **cond)


class Preconditioned(Denoiser):
    """A backbone F made into a denoiser by a schedule and a parameterization.

        x_hat = c_skip x_t + c_out F(c_in x_t, c_noise, **cond)

    F gets c_noise in float32: (B,), or (B, *) like t where the noise varies within a sample. Where `learns_variance`,
    F has twice the channels, and the second half v is a fraction (v + 1) / 2: Nichol & Dhariwal 2021,
    https://arxiv.org/abs/2102.09672. Raises ValueError where the parameterization says nothing of x at t = 1.
    """

    def __init__(
        self,
        backbone: nn.Module,
        schedule: Schedule,
        parameterization: Parameterization = Karras(),
        noise_input: NoiseInput = LogSNR(),
        learns_variance: bool = False,
    ) -> None:
        if not all(c.isfinite() for c in parameterization(*schedule(1.0))):
            raise ValueError(
                f"{parameterization} is singular at t = 1 of {schedule}, where alpha = 0 and x_t says nothing of x: "
                "use Velocity()"
            )
        super().__init__()
        self.backbone, self.schedule = backbone, schedule
        self.parameterization, self.noise_input = parameterization, noise_input
        self.learns_variance = learns_variance

    def forward(self, x_t, t, **cond):
        c_in, c_skip, c_out = onto(x_t, *self.parameterization(*self.schedule(t)))
        output = self.backbone((c_in * x_t).to(_dtype(self.backbone, x_t)), self.c_noise(x_t, t), **cond).to(x_t.dtype)
        if not self.learns_variance:
            return Estimate(c_skip * x_t + c_out * output)
        output, v = output.chunk(2, dim=1)
        return Estimate(c_skip * x_t + c_out * output, fraction=(v + 1) / 2)

    def c_noise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """What the network is told of the noise, float32, (B,) or shaped like t."""
        c_noise = torch.atleast_1d(self.noise_input(self.schedule, t)).to(x_t.device, torch.float32)
        c_noise = c_noise.expand(len(x_t), *c_noise.shape[1:])
        return c_noise.reshape(len(x_t)) if c_noise.numel() == len(x_t) else c_noise


class Foreign(nn.Module):
    """A network of another library as the backbone of `Preconditioned`: called as F(x, c_noise, **cond).

        Preconditioned(Foreign(unet), LinearBetas(), Noise(), Index(1000))

    is a `UNet2DModel` of diffusers that predicts noise. What it returns is a tensor, or holds one first, as tuples and
    the outputs of diffusers and transformers do. `names` maps our conditions to its arguments.
    """

    def __init__(self, network: nn.Module, names: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__()
        self.network, self.names = network, dict(names)

    def forward(self, x: Tensor, c_noise: Tensor, **cond: Tensor) -> Tensor:
        output = self.network(x, c_noise, **{self.names.get(name, name): value for name, value in cond.items()})
        return output if isinstance(output, Tensor) else output[0]


def _dtype(module: nn.Module, x: Tensor) -> torch.dtype:
    return next((p.dtype for p in module.parameters()), x.dtype)


class Cast(Denoiser):
    """The same denoiser, its network computing in another type; estimates stay as wide as x_t."""

    def __init__(self, denoiser: Denoiser, dtype: torch.dtype) -> None:
        super().__init__()
        self.denoiser, self.schedule, self.dtype = denoiser, denoiser.schedule, dtype

    def forward(self, x_t, t, **cond):
        with torch.autocast(x_t.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.denoiser(x_t, t, **cond)
