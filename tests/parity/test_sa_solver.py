"""SA-Solver of diffusers against ours, on the same levels and draws.

Of first order with its corrector it is the same step by step. Of second order theirs adds a term of h^3 "for few steps",
and their higher orders start with it; ours take the integrals as the paper has them. So orders 3 and 4 are compared from a
history that both are given.
"""

import pytest
import torch
from diffusers import SASolverScheduler
from diffusers.schedulers import scheduling_sasolver
from measures import COSINE, Bumps, uneven
from walks import Given, draws

from reverie.samplers.dpmpp_1_sde import DPMpp1SDE
from reverie.samplers.history import guess
from reverie.samplers.sa_solver import SASolver

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # theirs makes a number of an array
GRID, D = uneven(12, COSINE), Bumps(COSINE)


def theirs(predictor, corrector, tau=1.0):
    alpha, sigma = COSINE.schedule(GRID)
    tau = torch.tensor(tau, dtype=torch.float64)
    scheduler = SASolverScheduler(
        predictor_order=predictor, corrector_order=corrector, prediction_type="sample", tau_func=lambda t: tau,
        lower_order_final=False,
    )  # fmt: skip
    scheduler.set_timesteps(12)
    scheduler.sigmas = sigma / alpha
    return scheduler


def test_sa_solver_and_its_corrector_are_theirs_step_by_step(monkeypatch):
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    drawn, scheduler = draws(12, x), theirs(1, 1)
    left = Given(drawn)
    monkeypatch.setattr(scheduling_sasolver, "randn_tensor", lambda *_, **__: left.draw(x))
    ours = SASolver(1, 1).trajectory(D, x, GRID, Given(drawn))
    for t, at, state in zip(scheduler.timesteps, GRID, ours):
        x = scheduler.step(D(x, at).x_hat, t, x).prev_sample
        torch.testing.assert_close(state.x_t, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tau", [0.6, 1.0])
@pytest.mark.parametrize("orders", [(3, 3), (3, 4), (4, 3), (4, 4)])
def test_third_and_fourth_order_are_theirs_from_the_same_history(orders, tau, monkeypatch):
    """Five states of the exact flow are given to both, with the draws between them."""
    scheduler, x = theirs(*orders, tau), D.at(GRID[0])
    drawn, given = draws(12, x), 5
    left = Given(drawn)
    monkeypatch.setattr(scheduling_sasolver, "randn_tensor", lambda *_, **__: left.draw(x))
    for k in range(given):
        scheduler.last_sample = D.at(GRID[k - 1]) if k else None
        scheduler.step(D(D.at(GRID[k]), GRID[k]).x_hat, scheduler.timesteps[k], D.at(GRID[k]))
    scheduler.last_sample = D.at(GRID[given - 1])

    t, s = GRID[given - 1 : given + 1]
    base, _ = DPMpp1SDE(tau).step(D, D.at(t), t, s, None, Given(drawn[given - 1 :]))
    memory = base, tau, tuple(guess(D, D.at(u), u) for u in GRID[given - 3 : given].flip(0))
    x = mine = D.at(s)
    noise = Given(drawn[given:])
    for k in range(given, 12):
        x = scheduler.step(D(x, GRID[k]).x_hat, scheduler.timesteps[k], x).prev_sample
        mine, memory = SASolver(*orders, tau=tau).step(D, mine, GRID[k], GRID[k + 1], memory, noise)
        torch.testing.assert_close(mine, x, rtol=1e-6, atol=1e-6)
