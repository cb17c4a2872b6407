"""Features that are kept between evaluations."""

import pytest
import torch

from reverie.core.denoisers import Cast, Preconditioned
from reverie.core.grids import Uniform
from reverie.core.noise import Seeded
from reverie.core.reuse import Reusing
from reverie.core.schedules import Cosine
from reverie.guidance.extrapolation import Extrapolated
from reverie.nn.dit import DiT
from reverie.nn.unet import UNet
from reverie.samplers.ddim import DDIM
from reverie.samplers.heun import Heun

NETWORKS = {
    "unet": lambda: UNet(spatial=2, channels=1, levels=(8, 16, 16), blocks=1, groups=4, head_size=8, classes=4),
    "dit": lambda: DiT(spatial=2, channels=1, patch=2, width=16, depth=4, head_size=8, classes=4),
}
TIMES = torch.tensor([0.9, 0.7, 0.5, 0.3], dtype=torch.float64)


@pytest.fixture(params=sorted(NETWORKS))
def denoiser(request):
    torch.manual_seed(0)
    backbone = NETWORKS[request.param]()
    for p in backbone.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return Preconditioned(backbone, Cosine()).eval()


def inner(backbone):
    """The modules that a kept inside saves, and one that is always computed."""
    if isinstance(backbone, UNet):
        return [backbone.middle[0], backbone.down[1], backbone.up[0]], backbone.down[0].stages[0]
    return list(backbone.blocks[1:-1]), backbone.blocks[0]


def calls(modules, work):
    """How often each of the modules is called in the work."""
    found = [0] * len(modules)
    hooks = []
    for i, module in enumerate(modules):
        part = module.stages[0] if hasattr(module, "stages") else module

        def count(*_, i=i):
            found[i] += 1

        hooks.append(part.register_forward_hook(count))
    work()
    for hook in hooks:
        hook.remove()
    return found


def guesses(denoiser, x, label):
    with torch.no_grad():
        return [denoiser(x, t, label=label).x_hat for t in TIMES]


def test_the_first_guess_is_the_denoisers_and_so_is_every_kth(denoiser):
    x, label = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2])
    plain, kept = guesses(denoiser, x, label), guesses(Reusing(denoiser, 2).begin(), x, label)
    for i, (one, other) in enumerate(zip(plain, kept)):
        if i % 2 == 0:
            torch.testing.assert_close(other, one, rtol=0, atol=1e-5)
        else:
            assert (other - one).abs().max() > 1e-4
            assert (other - one).norm() < 0.5 * one.norm()


@pytest.mark.parametrize(("every", "times"), [(1, 4), (2, 2), (3, 2), (4, 1)])
def test_the_inside_is_computed_every_kth_time_and_the_rest_always(denoiser, every, times):
    inside, outside = inner(denoiser.backbone)
    x, label = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    found = calls([*inside, outside], lambda: guesses(Reusing(denoiser, every).begin(), x, label))
    assert found == [times] * len(inside) + [len(TIMES)]


def test_every_evaluation_is_the_denoiser_itself(denoiser):
    x, label = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2])
    for one, other in zip(guesses(denoiser, x, label), guesses(Reusing(denoiser, 1), x, label)):
        assert torch.equal(one, other)


def test_a_trajectory_remembers_nothing_of_another_and_no_batch_of_another_size(denoiser):
    reusing = Reusing(denoiser, 4)
    x, label = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    first, again = guesses(reusing.begin(), x, label), guesses(reusing.begin(), x, label)
    assert all(torch.equal(one, other) for one, other in zip(first, again)) and reusing.kept is None
    one = reusing.begin()
    inside, _ = inner(denoiser.backbone)
    found = calls(inside[:1], lambda: (guesses(one, x, label), guesses(one, x[:1], label[:1])))
    assert found == [2]


def test_it_works_under_guidance_samplers_and_another_type(denoiser):
    reusing = Reusing(Cast(denoiser, torch.bfloat16), 2)
    strong, weak = (reusing.given(label=torch.tensor([i, i])) for i in (0, 3))
    inside, _ = inner(denoiser.backbone)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for sampler, evaluations in ((DDIM(), 6), (Heun(), 11)):
        work = lambda s=sampler: s(Extrapolated(strong, weak, 2.0), x, Uniform(6)(Cosine()), Seeded(range(2)))
        assert calls(inside[:1], work) == [-(-evaluations // 2)]
        assert work().isfinite().all()


def test_what_cannot_be_is_refused(denoiser):
    with pytest.raises(ValueError, match="not every 0th"):
        Reusing(denoiser, 0)
    flat = Preconditioned(UNet(spatial=2, channels=1, levels=(8,), blocks=1, groups=4), Cosine())
    with pytest.raises(ValueError, match="leave out reuse"):
        Reusing(flat, 2)
