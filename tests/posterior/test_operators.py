"""What every operator promises: its adjoint, its pseudo-inverse, its spectrum, its types, and clear refusals."""

import pytest
import torch

from reverie.core.noise import Seeded
from reverie.discover import discover, variants
from reverie.errors import ReverieError
from reverie.posterior import operators
from reverie.posterior.operators.band import Band
from reverie.posterior.operators.base import Operator, measured
from reverie.posterior.operators.blur import GaussianBlur, MotionBlur
from reverie.posterior.operators.downsampling import Area, Bicubic
from reverie.posterior.operators.fourier import Fourier
from reverie.posterior.operators.greyscale import Greyscale
from reverie.posterior.operators.mask import Mask
from reverie.posterior.operators.points import Points
from reverie.posterior.operators.quantisation import Quantisation

ALL = variants(operators, Operator)
each = pytest.mark.parametrize("A", ALL, ids=repr)
each_linear = pytest.mark.parametrize("A", [A for A in ALL if A.linear], ids=repr)


def draw(shape, seed=0, rows=3):
    return Seeded(range(seed, seed + rows)).draw(torch.empty(rows, *shape, dtype=torch.float64))


def drawn(A, seed=0):
    x = draw(A.example, seed)
    return x, draw(A.shape(A.example), seed + 100)


def inner(x, y):
    return (x * y).flatten(1).sum(1)


def test_all_that_were_asked_for_are_found():
    names = "Area Band Bicubic Fourier GaussianBlur Greyscale Mask MotionBlur Points Quantisation"
    assert sorted(discover(operators, Operator)) == names.split()


@each
def test_the_shape_is_what_it_says(A):
    x, _ = drawn(A)
    assert A(x).shape[1:] == tuple(A.shape(A.example))


@each
def test_the_adjoint_is_that_of_the_derivative(A):
    """<A v, y> = <v, A^T y>"""
    v, y = drawn(A)
    torch.testing.assert_close(inner(A.derivative(v), y), inner(v, A.adjoint(y)))


@each_linear
def test_it_is_linear(A):
    x, z = draw(A.example), draw(A.example, 7)
    torch.testing.assert_close(A(2 * x - 3 * z), 2 * A(x) - 3 * A(z))
    assert A.derivative(x).equal(A(x))


@each
def test_the_pseudo_inverse_is_one(A):
    x, y = drawn(A)
    torch.testing.assert_close(A(A.pseudo_inverse(A(x))), A(x))
    if not A.linear:
        return
    back = A.pseudo_inverse(y)
    torch.testing.assert_close(A.pseudo_inverse(A(back)), back)
    for one, other in ((A, A.pseudo_inverse),):  # both products are symmetric: Penrose's last two conditions
        x, z, w = draw(A.example, 3), draw(A.example, 5), draw(A.shape(A.example), 9)
        torch.testing.assert_close(inner(other(one(x)), z), inner(x, other(one(z))))
        torch.testing.assert_close(inner(one(other(y)), w), inner(y, one(other(w))))


@each_linear
def test_the_spectrum_reconstructs(A):
    """V is orthogonal, A^T A = V s^2 V^T, and U = A V / s has orthonormal columns."""
    x, z = draw(A.example), draw(A.example, 7)
    spectrum = A.spectrum(A.example)
    torch.testing.assert_close(spectrum.back(spectrum.to(x)), x)
    torch.testing.assert_close(inner(spectrum.to(x), spectrum.to(z)), inner(x, z))
    assert (spectrum.s >= 0).all()
    torch.testing.assert_close(A.adjoint(A(x)), spectrum.back(spectrum.s**2 * spectrum.to(x)))
    seen = (spectrum.s > 0).double()
    scale = torch.where(spectrum.s > 0, 1 / spectrum.s, 0)
    U = lambda c: A(spectrum.back(scale * c))
    c, d = spectrum.to(x), spectrum.to(z)
    torch.testing.assert_close(inner(U(c), U(d)), inner(seen * c, d))
    torch.testing.assert_close(U(spectrum.s * c), A(x))
    torch.testing.assert_close(measured(spectrum, A, A(x)), seen * c)
    torch.testing.assert_close(spectrum.back(measured(spectrum, A, A(x))), A.pseudo_inverse(A(x)))


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_are_kept_and_rows_do_not_meet(A, dtype):
    x, y = (part.to(dtype) for part in drawn(A))
    for one, other in ((A, x), (A.adjoint, y), (A.pseudo_inverse, y)):
        assert one(other).dtype == dtype
        torch.testing.assert_close(one(other)[1:2], one(other[1:2]))
        torch.testing.assert_close(one(other).double(), one(other.double()), rtol=1e-4, atol=1e-4)
        assert one(other.to("meta")).device.type == "meta" if A.linear else True


def test_area_is_the_mean_of_blocks_and_bicubic_is_that_of_torch():
    x = draw((3, 12, 16))
    torch.testing.assert_close(Area(4)(x), torch.nn.functional.avg_pool2d(x, 4))
    known = torch.nn.functional.interpolate(x, scale_factor=0.25, mode="bicubic", antialias=True)
    torch.testing.assert_close(Bicubic(4)(x), known)


def test_blurs_are_convolutions():
    x, blur = draw((1, 15, 12)), GaussianBlur(0.7, least=0.0)
    offsets = torch.arange(-3, 4).double()
    w = (-(offsets**2) / (2 * 0.7**2)).exp()
    w = w / w.sum()
    mirrored = torch.cat([x[..., :3, :].flip(-2), x, x[..., -3:, :].flip(-2)], -2)
    mirrored = torch.cat([mirrored[..., :3].flip(-1), mirrored, mirrored[..., -3:].flip(-1)], -1)
    known = torch.nn.functional.conv2d(mirrored, (w[:, None] * w)[None, None])
    torch.testing.assert_close(blur(x), known)

    spot = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    spot[0, 0, 4, 4] = 1
    streak = MotionBlur(3.0, least=0.0)(spot)[0, 0]
    assert streak.sum() == pytest.approx(1) and streak[4, 3:6].sum() == pytest.approx(1)
    across = MotionBlur(3.0, 90.0, least=0.0)(spot)[0, 0]
    torch.testing.assert_close(across, streak.mT)
    slanted = MotionBlur(5.0, 45.0, least=0.0)(spot)[0, 0]
    assert slanted[3, 5] > 5 * slanted[3, 3], "a line at 45 degrees goes up to the right"


def test_what_a_blur_loses_is_little_and_said():
    x = draw((1, 16, 16))
    for least, blur, exact in ((1e-2, GaussianBlur(1.0), GaussianBlur(1.0, least=0.0)),
                               (1e-2, MotionBlur(5.0, 20.0), MotionBlur(5.0, 20.0, least=0.0))):  # fmt: skip
        assert (blur(x) - exact(x)).norm() <= least * x.norm()
        assert blur.pseudo_inverse(x).norm() <= x.norm() / least


def test_masks_know_what_they_say():
    box = Mask.box((6, 8), (1, 2), (3, 4))
    assert not box.known[1:4, 2:6].any() and box.known.sum() == 48 - 12
    assert Mask.centre((8, 8), (4, 4)).known[2:6, 2:6].sum() == 0
    some = Mask.random((10, 10), 0.3, seed=4)
    assert some.known.sum() == 30 and some.known.equal(Mask.random((10, 10), 0.3, seed=4).known)
    assert not some.known.equal(Mask.random((10, 10), 0.3, seed=5).known)
    rows = Mask(torch.stack([torch.eye(4), 1 - torch.eye(4)])[:, None] > 0)
    x = draw((2, 4, 4), rows=2)
    assert rows(x)[0].equal(torch.eye(4) * x[0]) and rows(x)[1].equal((1 - torch.eye(4)) * x[1])


def test_the_others_are_what_they_say():
    x = draw((3, 8, 8))
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    torch.testing.assert_close(Greyscale()(x), luma)
    levels = Quantisation(5)(x).unique()
    torch.testing.assert_close(levels, torch.linspace(-1, 1, 5, dtype=torch.float64))
    inside = x.clamp(-1, 1)
    assert (Quantisation(5)(inside) - inside).abs().max() <= 0.25
    cloud = draw((12, 3))
    assert Points((7, 2), 12)(cloud).equal(cloud[:, [7, 2]])
    waves = torch.stack([torch.cos(2 * torch.pi * k * torch.arange(32).double() / 32) for k in (2, 10)])[:, None]
    torch.testing.assert_close(Band(0.0, 0.5)(waves), torch.stack([waves[0], torch.zeros_like(waves[1])]))
    lines = Fourier.lines((16, 20), 0.3, 0.1)
    assert lines.kept[:, [0, 1]].all() and lines.kept.double().mean().item() == pytest.approx(0.3)
    assert Fourier(torch.ones(8, 8) > 0).pseudo_inverse(Fourier(torch.ones(8, 8) > 0)(x)).allclose(x)


@pytest.mark.parametrize(
    ("A", "shape", "words"),
    [
        (Area(4), (1, 30, 28), "multiples of 4, not 30 x 28"),
        (Bicubic(4), (28, 28), "channels x height x width"),
        (Mask(torch.ones(8, 8) > 0), (3, 9, 8), "does not fit samples of 3 x 9 x 8"),
        (Greyscale(), (1, 8, 8), "3 channels, not of 1"),
        (MotionBlur(9.0), (1, 8, 8), "longer than the picture"),
        (Points((0, 1), 5), (6, 3), "5 points"),
        (Band(), (3, 8, 8), "channels x time"),
        (Fourier(torch.ones(8, 8) > 0), (1, 8, 9), "does not fit pictures of 8 x 9"),
    ],
    ids=lambda value: repr(value) if isinstance(value, Operator) else "",
)
def test_a_sample_that_does_not_fit_is_refused_in_one_line(A, shape, words):
    with pytest.raises(ReverieError, match=words) as refusal:
        A(torch.zeros(2, *shape))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mask.box((8, 8), (6, 0), (3, 3)),
        lambda: Mask.random((8, 8), 1.5),
        lambda: GaussianBlur(0.0),
        lambda: MotionBlur(-1.0),
        lambda: Quantisation(1),
        lambda: Points((1, 1), 3),
        lambda: Band(0.5, 0.2),
        lambda: Fourier.lines((8, 8), 0.1, 0.5),
    ],
)
def test_what_makes_no_operator_is_refused(make):
    with pytest.raises(ReverieError):
        make()


def test_what_has_no_spectrum_says_so():
    with pytest.raises(ReverieError, match="has no spectrum"):
        Quantisation().spectrum((3, 8, 8))
