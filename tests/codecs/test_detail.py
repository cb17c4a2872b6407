"""What enlarging leaves out, in units of what is to be expected of it."""

import pytest
import torch

from reverie.codecs.detail import Detail, contrast, enlarged, fitted
from reverie.errors import ReverieError

CODEC = Detail((2, 4), (0.2, 0.3), (0.01, 0.02), (2.0, 4.0))


def enlarged_picture(factor=4, count=1):
    """Grey on the left, noise on the right."""
    y = torch.rand(count, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y[..., :10] = 0.25
    return enlarged(y, factor)


@pytest.mark.parametrize("factor", [2, 4])
def test_detail_and_picture_are_inverse_and_of_unit_spread_where_losses_are_as_expected(factor):
    m = enlarged_picture(factor, 8)
    n = torch.randn(m.shape, generator=torch.Generator().manual_seed(1))
    x = m + CODEC.spread(m, factor) * n
    z = CODEC.detail(x, m, factor)
    torch.testing.assert_close(z, n, rtol=0, atol=1e-4)
    torch.testing.assert_close(CODEC.picture(z, m, factor), x, rtol=0, atol=1e-6)
    assert (x - m)[..., : 4 * factor].std() < 0.03 and (x - m)[..., 12 * factor :].std() > 0.2, (
        "little there, much here: one z"
    )


def test_the_spread_is_the_harmonic_mean_of_what_is_lost_here_and_everywhere():
    m = enlarged_picture()
    local = 0.02**2 + 4.0**2 * contrast(m, 4)
    torch.testing.assert_close(CODEC.spread(m, 4) ** 2, 2 * local * 0.3**2 / (local + 0.3**2), rtol=1e-5, atol=1e-9)
    assert CODEC.spread(m, 4).max() < 2**0.5 * 0.3, "at edges no more than anywhere"
    flat = torch.zeros(1, 3, 40, 40)
    torch.testing.assert_close(
        CODEC.spread(flat, 4), torch.full((1, 1, 40, 40), (2 / (1 / 0.02**2 + 1 / 0.3**2)) ** 0.5)
    )


def test_contrast_is_of_what_is_about_whatever_the_light():
    m = enlarged_picture()
    c = contrast(m, 4)
    assert c.shape == (1, 1, 80, 80) and c[..., : 10 * 4 - 4 * 4].max() < 1e-10 < 1e-3 < c[..., 48:].min()
    torch.testing.assert_close(contrast(0.5 * m - 0.3, 4), 0.25 * c, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(contrast(m.flip(-1), 4), c.flip(-1), rtol=1e-4, atol=1e-9)
    far = m.clone()
    far[..., 70:] = 0
    torch.testing.assert_close(contrast(far, 4)[..., :60], c[..., :60], rtol=1e-4, atol=1e-9)
    # one pixel that is 1: variance about means of 5 x 5, then means of 13 x 13
    point = torch.zeros(1, 1, 61, 61)
    point[..., 30, 30] = 1
    expected = ((1 - 1 / 25) ** 2 + 24 / 25**2) / 13**2
    assert contrast(point, 4)[0, 0, 30, 30].item() == pytest.approx(expected, rel=1e-5)
    assert contrast(point.expand(1, 3, -1, -1), 4)[0, 0, 30, 30].item() == pytest.approx(expected, rel=1e-5)
    assert contrast(point, 4)[0, 0, 30, 39].item() == 0


def test_a_network_sees_the_picture_and_what_stands_out_of_it():
    m = enlarged_picture()
    seen = CODEC.seen(m, 4)
    assert seen.shape == (1, 6, 80, 80) and torch.equal(seen[:, :3], m)
    z, same = CODEC.pair(x := torch.rand_like(m), m, 4)
    assert torch.equal(z, CODEC.detail(x, m, 4)) and torch.equal(same, seen)
    assert seen[:, 3:, :, :20].abs().max() < 1e-4 and 0.1 < seen[:, 3:, :, 60:].std() < 2
    # the floor and the whole apart, it is the same however faint the picture
    faint = Detail((4,), (1e6,), (1e-6,), (4.0,))
    plain, dim = (faint.seen(one, 4)[:, 3:, :, 60:] for one in (m, 0.01 * m))
    torch.testing.assert_close(dim, plain, rtol=1e-2, atol=1e-3)


def test_floor_and_gain_are_found_again():
    """50 000 normal numbers whose variance is known: each of the two is known to about 1 %."""
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(50_000, generator=generator, dtype=torch.float64) ** 4
    for floor, gain in ((0.05, 0.7), (0.3, 0.2), (0.01, 2.0)):
        lost = (floor**2 + gain**2 * c) * torch.randn(len(c), generator=generator, dtype=torch.float64) ** 2
        assert fitted(lost, c) == pytest.approx((floor, gain), rel=0.05)
    floor, gain = fitted(0.04 * torch.ones(100), torch.zeros(100))
    assert floor == pytest.approx(0.2, rel=1e-3), "without contrast the floor is all there is"


def test_what_cannot_be_is_refused():
    with pytest.raises(ReverieError, match="2, 4 times, not 8"):
        CODEC.spread(enlarged_picture(), 8)
    one, none = (1.0,), (0.0,)
    for numbers in (
        (none, one, one),
        (one, none, one),
        (one, one, (-1.0,)),
        (one, one, one * 2),
        (one, one, (float("nan"),)),
    ):
        with pytest.raises(ValueError, match="as many numbers as there are factors"):
            Detail((2,), *numbers)
    with pytest.raises(ValueError, match="whole numbers from 2 to 64"):
        Detail((2, 2), *[one * 2] * 3)
