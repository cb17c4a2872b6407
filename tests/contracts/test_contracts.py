"""What every denoiser and every sampler promises: any shape of time, and rows that do not meet."""

import pytest
import torch
from torch import nn
from truth import SAMPLERS, two_classes

from reverie import guidance
from reverie.core import grids
from reverie.core.denoisers import Denoiser, Preconditioned
from reverie.core.noise import Seeded
from reverie.core.schedules import Cosine
from reverie.discover import variants
from reverie.samplers.base import Watched

B = 4
LABEL = torch.eye(2)[torch.tensor([0, 1, 1, 0])]


class Backbone(nn.Module):
    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain

    def forward(self, x, c_noise):
        return self.gain * x.sin() * c_noise.reshape(len(x), -1)

    def blind(self, layers):
        return Backbone(0.7)

    def without(self, layers):
        return Backbone(0.5)


D = two_classes(Cosine())


def denoisers(rows):
    """Every denoiser there is, for some rows of the batch: a new file of guidance is here already."""
    strong, network = D.given(weights=LABEL[rows]), Preconditioned(Backbone(), Cosine())
    guided = variants(guidance, Denoiser, strong, D)
    of_networks = [g for g in variants(guidance, Denoiser, network, D) if type(g) not in map(type, guided)]
    return [D, strong, network, Watched(D), *guided, *of_networks]


ALL = [type(denoiser).__name__ for denoiser in denoisers(slice(None))]
MAKERS = [lambda rows, i=i: denoisers(rows)[i] for i in range(len(ALL))]
each_denoiser = pytest.mark.parametrize("make", MAKERS, ids=ALL)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)


@each_denoiser
def test_time_may_have_any_shape(make):
    x_t, t = torch.randn(B, 2), torch.tensor([0.2, 0.5, 0.8, 0.97], dtype=torch.float64)
    by_row = make(slice(None))(x_t, t).x_hat
    assert by_row.shape == x_t.shape and by_row.dtype == torch.float32
    torch.testing.assert_close(make(slice(None))(x_t, t[:, None]).x_hat, by_row)
    for i in range(B):
        row = slice(i, i + 1)
        torch.testing.assert_close(make(row)(x_t[row], t[i]).x_hat, by_row[row])
        same = make(slice(None))(x_t, t[i].expand(B))
        for shape in ((), (1,), (1, 1)):
            torch.testing.assert_close(make(slice(None))(x_t, t[i].reshape(shape)), same)


def alone_and_together(sampler, make, row=slice(2, 3)):
    x_1, grid = Seeded(range(B)).draw(torch.empty(B, 2)), grids.Uniform(5)(Cosine())
    together = sampler(slice(None))(make(slice(None)), x_1, grid, Seeded(range(B)))
    alone = sampler(row)(make(row), x_1[row], grid, Seeded([2]))
    torch.testing.assert_close(alone, together[row], rtol=1e-4, atol=1e-5)


@each_sampler
@each_denoiser
def test_a_sample_does_not_depend_on_its_batch(sampler, make):
    alone_and_together(lambda rows: sampler, make)
