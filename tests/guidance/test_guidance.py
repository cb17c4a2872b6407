"""Guidance against its formulas."""

import torch
from truth import two_classes

from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.schedules import Cosine
from reverie.guidance.extrapolation import Extrapolated

D = two_classes(Cosine())
STRONG, WEAK = D.given(weights=torch.tensor([0.0, 1.0])), D
T, X = torch.tensor(0.5, dtype=torch.float64), torch.randn(5, 2)


def test_guidance_is_extrapolation():
    strong, weak = STRONG(X, T).x_hat, WEAK(X, T).x_hat
    torch.testing.assert_close(Extrapolated(STRONG, WEAK, 3.0)(X, T).x_hat, weak + 3 * (strong - weak))


def test_scale_one_is_the_conditional_denoiser_to_the_bit():
    assert Extrapolated(STRONG, WEAK, 1.0)(X, T).x_hat.equal(STRONG(X, T).x_hat)


def test_the_interval_is_in_log_snr_row_by_row():
    t = torch.tensor([0.2, 0.4, 0.5, 0.6, 0.9], dtype=torch.float64)
    low, high = Cosine().log_snr(0.55), Cosine().log_snr(0.3)
    guided = Extrapolated(STRONG, WEAK, 3.0, (low, high))(X, t).x_hat
    inside = torch.tensor([0, 1, 1, 0, 0], dtype=torch.bool)
    assert guided[~inside].equal(STRONG(X, t).x_hat[~inside])
    assert guided[inside].equal(Extrapolated(STRONG, WEAK, 3.0)(X, t).x_hat[inside])
    assert Extrapolated(STRONG, None, 3.0, (low, high))(X, T * 0).x_hat.equal(STRONG(X, T * 0).x_hat)


def test_extrapolation_carries_a_noise_that_is_not_the_guess_s_own():
    class Clipped(Denoiser):
        """The guess is clipped, the noise is not."""

        schedule = Cosine()

        def forward(self, x_t, t):
            estimate = STRONG(x_t, t)
            return Estimate(estimate.x_hat.clamp(-0.5, 0.5), estimate.eps(x_t, *self.schedule(t)))

    guided = Extrapolated(Clipped(), WEAK, 2.0)(X, T)
    strong, weak = (d(X, T).eps(X, *Cosine()(T)) for d in (STRONG, WEAK))
    torch.testing.assert_close(guided.eps_hat, weak + 2 * (strong - weak))


class Asked(Denoiser):
    """Counts its calls and the rows of each."""

    def __init__(self):
        super().__init__()
        self.schedule, self.rows = Cosine(), []

    def forward(self, x_t, t, label):
        self.rows.append(len(x_t))
        return Estimate(x_t * label[:, None] + t.reshape(-1, 1).float())


def test_one_network_under_two_conditions_is_called_once():
    asked, x, t = Asked(), torch.randn(3, 2), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    strong, weak = asked.given(label=torch.tensor([1.0, 2, 3])), asked.given(label=torch.zeros(3))
    guided = Extrapolated(strong, weak, 2.0)
    truth = weak(x, t).x_hat + 2 * (strong(x, t).x_hat - weak(x, t).x_hat)
    asked.rows.clear()
    torch.testing.assert_close(guided(x, t).x_hat, truth.float(), check_dtype=False)
    torch.testing.assert_close(guided.begin()(x, t).x_hat, guided(x, t).x_hat)  # copies for a trajectory stay one
    for shape in ((), (1,)):
        guided(x, T.reshape(shape))
    assert asked.rows == [6] * 5
