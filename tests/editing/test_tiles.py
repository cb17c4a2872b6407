"""Pictures of any size, from tiles."""

import math

import pytest
import torch

import reverie
from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.grids import Uniform
from reverie.core.noise import Seeded
from reverie.core.oracles.normal import Normal
from reverie.core.schedules import Cosine
from reverie.core.windows import ramps, starts
from reverie.editing.tiles import Tiled
from reverie.samplers.heun import Heun

FIELDS = 40


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("size", [8, 9, 15, 16, 17, 100])
def test_weights_of_tiles_add_up_to_one(size, overlap):
    at = starts(size, 8, overlap)
    total = torch.zeros(size, dtype=torch.float64)
    for first, row in zip(at, ramps(size, 8, at)):
        assert (row > 0).all()
        total[first : first + 8] += row
    assert at[0] == 0 and at[-1] == size - 8 and (total - 1).abs().max() < 1e-12
    assert all(b - a <= 8 - int(8 * overlap) for a, b in zip(at, at[1:]))


class Recording(Denoiser):
    """What it is asked is kept; it guesses the half of it."""

    def __init__(self):
        super().__init__()
        self.schedule, self.asked = Cosine(), []

    def forward(self, x_t, t, **cond):
        self.asked.append(x_t)
        return Estimate(x_t / 2 + cond.get("maps", 0))


def test_where_tiles_agree_their_average_is_that():
    inner = Recording()
    x = torch.randn(1, 3, 21, 30)
    found = Tiled(inner, (8, 8), 0.25, rows=4)(x, torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(found.x_hat, x / 2)
    assert {len(one) for one in inner.asked} == {4}


def test_each_tile_gets_its_part_of_the_maps():
    x, maps = torch.randn(1, 3, 21, 30), torch.randn(1, 3, 21, 30)
    found = Tiled(Recording(), (8, 8), 0.25, rows=4)(x, torch.tensor(0.5, dtype=torch.float64), maps=maps)
    torch.testing.assert_close(found.x_hat, x / 2 + maps)


def test_what_is_asked_at_once_does_not_grow_with_the_picture():
    for side in (16, 64, 256):
        inner = Recording()
        Tiled(inner, (8, 8), 0.25, rows=16)(torch.zeros(1, 1, side, side), torch.tensor(0.5, dtype=torch.float64))
        assert {tuple(one.shape) for one in inner.asked} == {(16, 1, 8, 8)}


def test_gradients_go_through_tiles():
    inner = Recording()
    x = torch.randn(1, 1, 12, 12, requires_grad=True)
    Tiled(inner, (8, 8), 0.5, rows=2)(x, torch.tensor(0.5, dtype=torch.float64)).x_hat.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.5))


class OfTiles(Denoiser):
    """The exact denoiser of smooth Gaussian fields of 8 x 8, correlated over two pixels."""

    def __init__(self):
        super().__init__()
        place = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)).double()
        apart = (place[:, None] - place[None]).square().sum(2)
        self.inner = Normal(Cosine(), torch.zeros(64), torch.exp(-apart / (2 * 2.0**2)) + 1e-4 * torch.eye(64))
        self.schedule = self.inner.schedule

    def forward(self, x_t, t, **cond):
        return Estimate(self.inner(x_t.flatten(1), t).x_hat.unflatten(1, x_t.shape[1:]))


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_no_seam_shows(overlap):
    """Differences of neighbours across the starts and ends of tiles over those elsewhere, within 5 % of 1.

    Over ten fields of 64 x 64 the ratio of one direction has a deviation of up to 2 % by chance, which FIELDS of them and both
    directions make .6 %: of 1.03, what there is, the bar is three deviations away.
    """
    tiled = Tiled(OfTiles(), (8, 8), overlap, rows=64)
    at = starts(64, 8, overlap)
    fields = []
    for seed in range(FIELDS):
        noise = Seeded([seed])
        x = noise.draw(torch.empty(1, 1, 64, 64, dtype=torch.float64))
        fields.append(Heun()(tiled, x, Uniform(12)(Cosine()), noise))
    x = torch.cat(fields)
    borders = sorted({a - 1 for a in at if a} | {a + 7 for a in at if a + 8 < 64})
    inner = [k for k in range(4, 59) if k not in borders]
    rows, columns = x.diff(dim=2).abs().mean(dim=(0, 1, 3)), x.diff(dim=3).abs().mean(dim=(0, 1, 2))
    ratio = (rows + columns)[borders].mean() / (rows + columns)[inner].mean()
    assert abs(ratio - 1) < 0.05 and math.isfinite(ratio)


def test_a_picture_of_one_tile_is_edited_as_the_model_makes_it():
    digits = reverie.load("digits")
    picture = torch.zeros(1, 8, 8, dtype=torch.uint8)
    odd = digits.vary(torch.zeros(1, 11, 19, dtype=torch.uint8), strength=0.6, sample_steps=3, count=2)
    assert odd.raw.shape == (2, 1, 11, 19) and odd.info["tiles"]["size"] == [8, 8]
    small = digits.vary(torch.zeros(1, 5, 6, dtype=torch.uint8), strength=0.6, sample_steps=3)
    assert small.raw.shape == (1, 1, 5, 6)
    assert "tiles" not in digits.vary(picture, strength=0.6, sample_steps=3).info
