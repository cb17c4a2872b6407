"""Gaussians of the data, against the exact flow of theirs."""

import pytest
import torch

from reverie.core.gaussians import MOST_ENTRIES, Gaussians
from reverie.core.grids import Karras
from reverie.core.noise import Seeded
from reverie.core.oracles.normal import Normal
from reverie.core.schedules import VE, Cosine, LinearVP, Rectified
from reverie.samplers.heun import Heun

SCHEDULES = [Cosine(), Rectified(), LinearVP(), VE()]


def exact(entries=6, axes=2, classes=1):
    """Gaussians whose axes are coordinates, which half precision holds exactly."""
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.rand(shape, generator=generator)
    U = torch.stack([torch.eye(entries)[:, i : i + axes] for i in range(classes)]).half()
    return Gaussians(draw(classes, entries) * 2 - 1, U, 1 + 3 * draw(classes, axes), 0.1 * draw(classes), draw(classes))


def oracle(gaussians, i, schedule):
    U, l, r = gaussians.axes[i].double(), gaussians.variances[i].double(), gaussians.rest[i].double()
    return Normal(schedule, gaussians.means[i], U @ (l - r).diag() @ U.mT + r * torch.eye(len(U), dtype=torch.float64))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("ratio", [0.5, 3.0, 20.0])
def test_what_it_begins_with_lies_on_the_exact_flow_to_the_end(schedule, ratio):
    # from x_t both go to the same data: the flow back to t = 0 undoes what the start did, x_0 = m + C^(1/2) eps
    gaussians, unit = exact(classes=2), Seeded(range(8)).draw(torch.empty(8, 1, 2, 3))
    t = schedule.time(torch.tensor(ratio, dtype=torch.float64).log() * -2)
    which = torch.arange(8) % 2
    x_t = gaussians.begin(unit, which, *schedule(t))
    assert x_t.shape == unit.shape and x_t.dtype == unit.dtype
    for i in range(2):
        known, eps = oracle(gaussians, i, schedule), unit[which == i].flatten(1).double()
        root = known.axes * known.variances.sqrt() @ known.axes.mT
        ends = known.flow(x_t[which == i].flatten(1).double(), t, 0.0)
        torch.testing.assert_close(ends, known.mean + eps @ root, rtol=0, atol=1e-5)


def test_where_alpha_is_0_it_is_noise_and_where_sigma_is_0_a_sample_of_the_gaussian():
    gaussians, unit = exact(), Seeded(range(4000)).draw(torch.empty(4000, 6))
    which = torch.zeros(4000, dtype=torch.int64)
    begun = gaussians.begin(unit, which, torch.tensor(0.0), torch.tensor(1.0))
    torch.testing.assert_close(begun, unit, rtol=0, atol=1e-6)
    x = gaussians.begin(unit, which, torch.tensor(1.0), torch.tensor(0.0))
    wanted = oracle(gaussians, 0, Cosine()).marginal(0.0)[1]
    # 4000 samples: an entry of the covariance is off by its scale times sqrt(2 / 4000) = 2.2 %, five times that is allowed
    torch.testing.assert_close(x.double().T.cov(), wanted, rtol=0, atol=0.11 * wanted.max().item())


def test_a_few_steps_after_it_end_where_many_from_noise_do():
    schedule, gaussians = Cosine(), exact()
    known, unit = oracle(gaussians, 0, schedule), Seeded(range(16)).draw(torch.empty(16, 6))
    which = torch.zeros(16, dtype=torch.int64)
    ends = {}
    for name, grid in (
        ("noise", Karras(400)),
        ("gaussian", Karras(40, sigma_min=0.002, sigma_max=2.0, whole=False)),
        ("few from noise", Karras(40)),
    ):
        times = grid(schedule)
        x = gaussians.begin(unit, which, *schedule(times[0])).double()
        for state in Heun().trajectory(known, x, times, Seeded(range(16))):
            x = state.x_t
        ends[name] = x
    error = {name: (x - ends["noise"]).abs().max().item() for name, x in ends.items()}
    assert error["gaussian"] < 0.005 and error["gaussian"] < error["few from noise"] / 3


@pytest.mark.parametrize("entries", [200, 3000], ids=["less than samples", "more than samples"])
def test_it_is_fitted_to_what_made_the_samples(entries):
    generator = torch.Generator().manual_seed(1)
    U = torch.linalg.qr(torch.randn(entries, 3, generator=generator, dtype=torch.float64)).Q
    stds, mean = torch.tensor([5.0, 3.0, 2.0]).double(), torch.randn(entries, generator=generator).double()
    n = 1000
    x = mean + (torch.randn(n, 3, generator=generator).double() * stds) @ U.mT
    x = x + 0.05 * torch.randn(n, entries, generator=generator)
    found = Gaussians.fit([x.float().view(n, 1, -1)], [n])
    # a variance of n samples is off by sqrt(2 / n) = 4.5 % of it: four times that is allowed; the mean by 5 / sqrt(n) = 0.16
    torch.testing.assert_close(found.variances[0, :3].double(), stds**2, rtol=0.18, atol=0)
    assert (found.means[0] - mean).norm() < 0.8
    overlap = (found.axes[0, :, :3].double().mT @ U).abs()
    assert (overlap.diagonal() > 0.97).all()
    # beyond the three the largest of what chance makes of equal variances are told apart: their mean is that of all
    others = found.variances[0, 3:].sum() + found.rest[0] * (entries - 64)
    assert others / (entries - 3) == pytest.approx(0.05**2, rel=0.05) and found.rest[0] < 0.05**2
    assert found.axes.shape == (1, entries, 64)


def test_samples_all_alike_have_a_mean_and_no_variance():
    found = Gaussians.fit([torch.full((40, 1, 3, 3), 0.5)], [40])
    unit = torch.randn(5, 1, 3, 3)
    x = found.begin(unit, torch.zeros(5, dtype=torch.int64), torch.tensor(1.0), torch.tensor(0.0))
    torch.testing.assert_close(x, torch.full_like(x, 0.5), rtol=0, atol=1e-5)


def test_axes_are_at_most_a_fourth_of_the_samples_and_bounded_in_all():
    assert Gaussians.axes_of([40, 1000], 784) == 10
    assert Gaussians.axes_of([3], 784) == 0
    assert Gaussians.axes_of([10_000], 3) == 3
    assert Gaussians.axes_of([10_000] * 1000, 12_288) == 0
    assert Gaussians.axes_of([10_000], 3 * 256**2) * 3 * 256**2 <= MOST_ENTRIES
    with pytest.raises(ValueError, match="four samples of each class"):
        Gaussians.fit([torch.zeros(3, 1, 4)], [3])


def test_rows_are_evenly_spaced_and_bounded():
    (rows,) = Gaussians.rows([torch.arange(100_000)], 12_288)
    assert len(rows) == 1024 and rows[0] == 0 and rows[-1] == 99_999 and (rows.diff() > 90).all()
    (few,) = Gaussians.rows([torch.tensor([5, 7, 9])], 12_288)
    assert few.tolist() == [5, 7, 9]
    assert sum(len(one) for one in Gaussians.rows([torch.arange(6000)] * 10, 784)) <= 8192


def test_tensors_give_it_again_and_others_are_refused():
    gaussians = exact(classes=3)
    tensors = gaussians.tensors()
    again = Gaussians.of(tensors, 6, 3)
    assert again.sha256 == gaussians.sha256 and len(again) == 3
    changed = [
        {**tensors, "more": torch.zeros(1)},
        {**tensors, "means": torch.zeros(3, 5)},
        {**tensors, "rest": torch.tensor([1.0, torch.nan, 1.0])},
        {**tensors, "rest": torch.tensor([1.0, -1.0, 1.0])},
        {**tensors, "shares": torch.zeros(3)},
        {**tensors, "axes": torch.zeros(3, 6)},
        {**tensors, "variances": torch.zeros(3, 2, dtype=torch.int64)},
    ]
    for one in changed:
        with pytest.raises(ValueError):
            Gaussians.of(one, 6, 3)
    for entries, classes in ((7, 3), (6, 4), (6, 0)):
        with pytest.raises(ValueError, match="do not fit"):
            Gaussians.of(tensors, entries, classes)


def test_a_grid_that_is_not_whole_begins_where_it_says():
    schedule = Cosine()
    times = Karras(4, sigma_min=0.3, sigma_max=6.0, whole=False)(schedule)
    ratios = (schedule.log_snr(times[:-1]) / -2).exp()
    assert ratios[0].item() == pytest.approx(6.0) and ratios[-1].item() == pytest.approx(0.3)
    assert times[-1] == 0 and len(times) == 5
    alone = Karras(1, sigma_min=0.3, sigma_max=1.5, whole=False)(schedule)
    assert (schedule.log_snr(alone[:1]) / -2).exp().item() == pytest.approx(1.5) and alone[1] == 0
