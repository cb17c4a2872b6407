"""Flow maps of oracles, exact and integrated: perfect consistency models."""

import pytest
import torch
from truth import correlated, two_bumps

from reverie.core.denoisers import Denoiser
from reverie.core.flow_maps import Exact, FlowMap, Integrated
from reverie.core.oracles import Normal
from reverie.core.schedules import VE, Cosine, Rectified, ScaledLinearBetas

f64 = torch.float64
each_schedule = pytest.mark.parametrize(
    "schedule", [Cosine(), VE(), ScaledLinearBetas()], ids=lambda s: type(s).__name__
)


@each_schedule
def test_jumps_compose_standing_still_is_the_identity_and_rows_do_not_meet(schedule):
    makers = (Exact, lambda d: Integrated(d, 60))
    for make in makers if schedule == Cosine() else makers[:1]:
        flow, tolerance = make(two_bumps(schedule)), 1e-9 if make is Exact else 2e-4
        assert isinstance(flow, FlowMap) and not isinstance(flow, Denoiser)
        x = 0.8 * schedule(1.0)[1] * torch.linspace(-2, 2, 5, dtype=f64)[:, None]
        far = flow(x, 1.0, 0.0)
        torch.testing.assert_close(flow(flow(x, 1.0, 0.5), 0.5, 0.0), far, rtol=0, atol=tolerance)
        torch.testing.assert_close(flow(x, 0.7, 0.7), x, rtol=tolerance, atol=tolerance)
        s = torch.tensor([0.0, 0.2, 0.5, 0.9, 0.0], dtype=f64)
        together = flow(x, torch.ones(5, dtype=f64), s)
        torch.testing.assert_close(together[3:4], flow(x[3:4], 1.0, s[3]), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together[[0, 4]], far[[0, 4]], rtol=1e-9, atol=1e-9)
        assert flow(x.float(), 1.0, 0.0).dtype == torch.float32


@each_schedule
def test_integration_finds_the_exact_flow_from_end_to_end(schedule):
    d = two_bumps(schedule)
    x = d.quantile(torch.linspace(0.02, 0.98, 9, dtype=f64)[:, None], 1.0)
    torch.testing.assert_close(Integrated(d, 80)(x, 1.0, 0.0), Exact(d)(x, 1.0, 0.0), rtol=0, atol=1e-4)
    root = torch.tensor([[0.6, 0.0], [0.3, 0.4]], dtype=f64)
    normal = Normal(schedule, torch.tensor([0.1, 0.2]), root @ root.mT)
    x = torch.randn(4, 2, dtype=f64)
    torch.testing.assert_close(Integrated(normal, 40)(x, 0.3, 0.6), Exact(normal)(x, 0.3, 0.6), rtol=1e-6, atol=1e-6)


def test_in_more_dimensions_the_flow_carries_the_density():
    """log p_s(F(x)) + log |det dF/dx| = log p_t(x), the change of variables, for a mixture without a closed form."""
    d, x = correlated(Rectified()), torch.tensor([[0.3, -0.8], [-0.5, 0.6], [1.0, 1.0]], dtype=f64)
    flow = Integrated(d, 40)
    jacobian = torch.stack([
        torch.autograd.functional.jacobian(lambda one: flow(one[None], 0.8, 0.1)[0], row) for row in x
    ])  # fmt: skip
    carried = d.log_prob(flow(x, 0.8, 0.1), 0.1) + jacobian.det().abs().log()
    torch.testing.assert_close(carried, d.log_prob(x, 0.8), rtol=0, atol=1e-4)
