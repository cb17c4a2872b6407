"""Undersampled Fourier transforms, as magnetic resonance imaging measures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.noise import stream
from ...errors import ReverieError
from .base import Operator, Spectrum, picture, said, told
from .transforms import hartley, mirrored


@dataclass(frozen=True, eq=False)
class Fourier(Operator):
    """y (B, 2C, H, W) is the orthonormal Fourier transform of real x (B, C, H, W), real parts, then imaginary, where `kept`.

        A^T A = Re F^H M F,    s^2 = (M(k) + M(-k)) / 2

    since x is real and a frequency says what its opposite does. `kept` (H, W) has frequency 0 at its corner, as
    `torch.fft` has; elsewhere y is not looked at.
    """

    kept: Tensor

    @classmethod
    def variants(cls):
        some = torch.rand(8, 8, generator=torch.Generator().manual_seed(2)) < 0.4
        return cls.lines((8, 8), 0.5, 0.2), cls(some)

    @classmethod
    def lines(cls, shape: tuple[int, int], keep: float = 0.25, centre: float = 0.08, seed: int = 0) -> "Fourier":
        """A share `keep` of the columns: the share `centre` of lowest frequencies, the others drawn at random.

        The sampling of fastMRI. Zbontar et al. 2018, https://arxiv.org/abs/1811.08839
        """
        if not 0 <= centre <= keep <= 1:
            raise ReverieError(f"lines of k-space need 0 <= centre <= keep <= 1, not {centre} and {keep}")
        H, W = shape
        order = torch.fft.fftfreq(W).abs().argsort(stable=True)
        low, rest = order[: round(centre * W)], order[round(centre * W) :]
        drawn = torch.randperm(len(rest), generator=torch.Generator().manual_seed(stream(seed, "lines")))
        kept = torch.zeros(H, W, dtype=torch.bool)
        kept[:, low] = True
        kept[:, rest[drawn[: round(keep * W) - len(low)]]] = True
        return cls(kept)

    def __repr__(self) -> str:
        return f"Fourier({said(self.kept.shape)}, {self.kept.double().mean().item():.3g} kept)"

    def shape(self, x):
        C, H, W = picture(self, x)
        if tuple(self.kept.shape) != (H, W):
            raise ReverieError(f"{self} does not fit pictures of {H} x {W}: sample frequencies of their size")
        return 2 * C, H, W

    def forward(self, x):
        f = self.kept.to(x.device) * torch.fft.fft2(x, norm="ortho")
        return torch.cat([f.real, f.imag], 1)

    def adjoint(self, y):
        real, imaginary = y.chunk(2, 1)
        return torch.fft.ifft2(self.kept.to(y.device) * torch.complex(real, imaginary), norm="ortho").real

    def pseudo_inverse(self, y):
        (square,) = told(y, self._square())
        return hartley(torch.where(square > 0, hartley(self.adjoint(y), 2) / square, 0), 2)

    def spectrum(self, x):
        return Spectrum(self._square().sqrt(), lambda x: hartley(x, 2), lambda c: hartley(c, 2))

    def _square(self) -> Tensor:
        return (self.kept.double() + mirrored(self.kept, 2).double()) / 2
