"""What acts on rows and on columns of a picture by one matrix each."""

import abc
from functools import cache

import torch
from torch import Tensor

from .base import Operator, Shape, Spectrum, picture, told


class Separable(Operator):
    """y = W_h x W_w^T of each channel; with W = U diag(s) V^T of each, singular values are products of two.

    Those below `least` of the largest are taken to be zero, in A itself: a blur without what it all but loses.
    """

    least: float = 1e-10

    @abc.abstractmethod
    def matrix(self, n: int) -> Tensor:
        """W (m, n), float64, for a side of n pixels."""

    def shape(self, x):
        C, *sides = picture(self, x)
        return C, *[len(self.matrix(n)) for n in sides]

    def forward(self, x):
        (U, V), (U_w, V_w), s = self._parts(x, (x.shape[-2], x.shape[-1]))
        return U @ (s * (V.mT @ x @ V_w)) @ U_w.mT

    def adjoint(self, y):
        (U, V), (U_w, V_w), s = self._parts(y, self.sides(tuple(y.shape[1:])))
        return V @ (s * (U.mT @ y @ U_w)) @ V_w.mT

    def pseudo_inverse(self, y):
        (U, V), (U_w, V_w), s = self._parts(y, self.sides(tuple(y.shape[1:])))
        return V @ (torch.where(s > 0, 1 / s, 0) * (U.mT @ y @ U_w)) @ V_w.mT

    def spectrum(self, x):
        (_, s_h, V_h), (_, s_w, V_w) = (_decomposed(self, n) for n in x[-2:])
        s = torch.zeros(x[-2:], dtype=torch.float64)
        s[: len(s_h), : len(s_w)] = _cut(s_h[:, None] * s_w, self.least)

        def to(x: Tensor) -> Tensor:
            V, W = told(x, V_h, V_w)
            return V.mT @ x @ W

        def back(c: Tensor) -> Tensor:
            V, W = told(c, V_h, V_w)
            return V @ c @ W.mT

        return Spectrum(s, to, back)

    @abc.abstractmethod
    def sides(self, y: Shape) -> tuple[int, int]:
        """Height and width of x for the shape of y."""

    def _parts(self, like: Tensor, sides: tuple[int, int]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """(U, V) of each side, and the singular values of both, in the type of a tensor."""
        (U_h, s_h, V_h), (U_w, s_w, V_w) = (_decomposed(self, n) for n in sides)
        (s,) = told(like, _cut(s_h[:, None] * s_w, self.least))
        return told(like, U_h, V_h[:, : len(s_h)]), told(like, U_w, V_w[:, : len(s_w)]), s


def _cut(s: Tensor, least: float) -> Tensor:
    return torch.where(s >= least * s.max(), s, 0)


@cache
def _decomposed(operator: Separable, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """U (m, k), s (k,), V (n, n), k the smaller of m and n."""
    W = operator.matrix(n)
    U, s, Vt = torch.linalg.svd(W, full_matrices=True)
    return U[:, : len(s)], s, Vt.mT
