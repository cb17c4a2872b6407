"""Changes of a sample: exact on known pictures, said if and only if they were made, and a function of the sample alone."""

import math

import pytest
import torch

from reverie.core.noise import Seeded
from reverie.data.augmentations import Augmentation, Draws, Mirror, Shift, Turn, Warp, shifted, warped
from reverie.errors import ReverieError

NOTHING = {"scale": 1.0, "angle": 0.0, "stretch": 1.0, "direction": 0.0}
SHAPES = [(1, 9), (3, 8, 8), (1, 8, 12), (2, 5, 1), (1, 4, 5, 6)]


def noise_of(n, seed=0):
    return Seeded.at(seed, range(n), "augment")


def changed(augmentation, z, noise):
    """(z changed, what was done)"""
    made, values = augmentation(z, noise)
    return made, values["augmentation"]


def pictures(n, shape=(3, 8, 8)):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


def disc(size=33, radius=10.0, at=(0.0, 0.0)):
    """A disc with a soft edge, columns to the right and rows up from the middle."""
    middle = torch.arange(size) - (size - 1) / 2
    right, up = torch.meshgrid(middle, -middle, indexing="xy")
    return (radius - ((right - at[0]) ** 2 + (up - at[1]) ** 2).sqrt()).div(1.5).sigmoid()[None]


@pytest.mark.parametrize("shape", SHAPES)
def test_at_probability_zero_nothing_changes_bit_for_bit(shape):
    z = pictures(16, shape)
    made, done = changed(Augmentation.of(shape, 0.0), z, noise_of(16))
    assert made.equal(z) and not done.any() and done.shape == (16, len(Augmentation.of(shape, 0.0).names))


def test_a_mirror_twice_a_turn_four_times_and_opposite_turns_are_nothing():
    (x,) = pictures(1)
    always = lambda coin: Draws(1.0, [0.0, coin], [])
    for axis in (-1, -2):
        once, said = Mirror(axis)(x, always(0.2))
        assert said == [1.0] and once.equal(x.flip(axis)) and Mirror(axis)(once, always(0.2))[0].equal(x)
        assert Mirror(axis)(x, always(0.7)) == (x, [0.0])
    turns = {k: Turn()(x, always((k + 0.5) / 4)) for k in range(4)}
    assert turns[0][0] is x and not any(turns[0][1])
    assert Turn()(turns[1][0], always(0.9))[0].equal(x) and Turn()(turns[2][0], always(0.6))[0].equal(x)
    for k, (turned, said) in turns.items():
        assert turned.equal(x.rot90(k, (1, 2)))
        assert said == pytest.approx((math.cos(k * math.pi / 2) - 1, math.sin(k * math.pi / 2)))


def test_a_shift_moves_every_position_and_mirrors_the_border():
    x = torch.arange(5.0)[None]
    assert shifted(x, 1, 1).tolist() == [[1, 0, 1, 2, 3]] and shifted(x, 1, -2).tolist() == [[2, 3, 4, 3, 2]]
    assert shifted(x, 1, 8).equal(x) and shifted(x[:, :1], 1, 3).equal(x[:, :1])
    moved, said = Shift(2, 0.25)(pictures(1)[0], Draws(1.0, [0.0], [1.0, -0.5]))
    assert moved[:, 2:, :-1].equal(pictures(1)[0][:, :-2, 1:]) and said == [1.0, -0.5]
    assert Shift(1)(x, Draws(1.0, [0.0], [0.1]))[1] == [0.0]  # less than half a position is none


def inside(x, radius=13):
    """What lies so near the middle that no border is reflected into it."""
    return x * (disc(x.shape[-1], radius) > 0.5)


def test_a_warp_is_what_it_says():
    (x,) = pictures(1)
    torch.testing.assert_close(warped(x, **NOTHING), x, atol=1e-5, rtol=0)
    turned = warped(x, **NOTHING | {"angle": math.pi / 2})
    torch.testing.assert_close(turned, x.rot90(1, (1, 2)), atol=1e-4, rtol=0)
    at = (6.0, 3.0)
    for angle in (0.3, 1.1, 2.5):  # a disc stays, up to the cubic's error at its soft edge
        turned = warped(disc(), **NOTHING | {"angle": angle})
        assert inside(turned - disc()).abs().max() < 0.02
        there = (at[0] * math.cos(angle) - at[1] * math.sin(angle), at[0] * math.sin(angle) + at[1] * math.cos(angle))
        found = warped(disc(radius=5.0, at=at), **NOTHING | {"angle": angle})
        assert inside(found - disc(radius=5.0, at=there)).abs().max() < 0.02
    scaled = warped(disc(radius=5.0), **NOTHING | {"scale": 1.5})
    assert (inside(scaled) > 0.5).sum() == (disc(radius=7.5) > 0.5).sum()
    long = inside(warped(disc(radius=6.0), **NOTHING | {"stretch": 1.5, "direction": math.pi / 2}))[0] > 0.5
    assert (long.any(1).sum(), long.any(0).sum()) in (
        (17, 7),
        (17, 9),
        (19, 7),
        (19, 9),
    )  # 18 by 8, odd about the middle
    opposite = warped(x, **NOTHING | {"stretch": 1.5, "direction": 0.4 + math.pi})
    torch.testing.assert_close(warped(x, **NOTHING | {"stretch": 1.5, "direction": 0.4}), opposite, atol=1e-4, rtol=0)


def test_in_one_resampling_it_scales_then_turns_then_stretches():
    x, how = disc(radius=4.0, at=(5.0, 2.0)), {"scale": 1.2, "angle": 0.7, "stretch": 1.4, "direction": 0.3}
    parts = [NOTHING | {"scale": 1.2}, NOTHING | {"angle": 0.7}, NOTHING | {"stretch": 1.4, "direction": 0.3}]

    def in_turn(parts):
        made = x
        for part in parts:
            made = warped(made, **part)
        return made

    assert inside(warped(x, **how) - in_turn(parts), 11).abs().max() < 0.05
    assert inside(warped(x, **how) - in_turn(parts[::-1]), 11).abs().max() > 0.3


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_done_is_said_if_and_only_if_something_was(shape):
    z = pictures(400, shape)
    made, done = changed(Augmentation.of(shape, 0.2), z, noise_of(400))
    differs = (made != z).flatten(1).any(1)
    assert differs.equal(done.any(1)) and 0 < differs.sum() < 400
    assert made.shape == z.shape and made.isfinite().all() and done.abs().max() < 8  # of about unit size


def test_each_change_happens_as_often_as_it_should():
    """Out of 3000, within five deviations: a mirror half and a turn three quarters of the times it may."""
    p, n = 0.4, 3000
    augmentation = Augmentation.of((1, 8, 8), p)
    _, done = changed(augmentation, pictures(n, (1, 8, 8)), noise_of(n))
    often = dict(zip(augmentation.names, (done != 0).double().mean(0).tolist(), strict=True))
    for name, share in (
        ("mirror_1", p / 2),
        ("turn_cos", 0.75 * p),
        ("scale", p),
        ("rotation_cos", p),
        ("stretch_cos", p),
    ):
        assert abs(often[name] - share) < 5 * (share * (1 - share) / n) ** 0.5, name


def test_a_sample_is_changed_by_its_own_stream_whatever_the_batch():
    z, augmentation = pictures(24), Augmentation.of((3, 8, 8), 0.5)
    made, done = changed(augmentation, z, noise_of(24))
    for first in (0, 7, 23):
        some = slice(first, first + 5)
        alone, said = changed(augmentation, z[some], Seeded.at(0, range(24)[some], "augment"))
        assert alone.equal(made[some]) and said.equal(done[some])
    assert not changed(augmentation, z, noise_of(24, seed=1))[1].equal(done)


def test_shapes_get_what_makes_sense_for_them():
    kinds = lambda *shape, **how: [type(one).__name__ for one in Augmentation.of(shape, 0.1, **how).transformations]
    assert kinds(1, 9) == ["Mirror", "Shift"] and kinds(1, 4, 5, 6) == ["Mirror"] * 3 + ["Shift"]
    assert kinds(3, 8, 8) == ["Mirror", "Turn", "Warp", "Shift"]
    assert kinds(3, 8, 9) == ["Mirror", "Mirror", "Warp", "Shift"]
    assert kinds(3, 8, 8, pictures=False) == ["Mirror", "Mirror", "Shift"] and kinds(2, 5, 1) == ["Mirror", "Shift"]
    for shape in SHAPES:
        names = Augmentation.of(shape, 0.1).names
        assert len(set(names)) == len(names)
    with pytest.raises(ReverieError, match="a single position"):
        Augmentation.of((3, 1, 1), 0.1)


def test_a_warp_draws_each_of_its_three_parts_alone():
    (x,) = pictures(1)
    said = lambda *gates: Warp()(x, Draws(0.5, [*gates, 0.3, 0.6], [1.0, -2.0]))[1]
    assert said(0.9, 0.9, 0.9) == [0.0] * 5
    assert said(0.1, 0.9, 0.9) == [1.0, 0, 0, 0, 0]
    assert said(0.9, 0.1, 0.9)[1:3] == pytest.approx([math.cos(0.6 * math.pi) - 1, math.sin(0.6 * math.pi)])
    assert math.hypot(*said(0.9, 0.9, 0.1)[3:]) == pytest.approx(2.0)
