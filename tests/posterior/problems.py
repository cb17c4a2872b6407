"""What the tests of posteriors share: measured Gaussians and mixtures, and every method around them."""

import torch

from reverie import posterior
from reverie.core import grids
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture, Normal
from reverie.core.schedules import Cosine
from reverie.discover import discover
from reverie.posterior.base import Posterior, PosteriorSampler
from reverie.posterior.operators.mask import Mask
from reverie.samplers.ddpm import DDPM

SCHEDULE = Cosine()
A, Y, STD = Mask(torch.tensor([True, False])), torch.tensor([[0.9, 0.0]]), 0.2
ROW = torch.tensor([[1.0, 0.0]])
BELL = Normal(SCHEDULE, torch.tensor([0.3, -0.2]), torch.tensor([[0.5, 0.3], [0.3, 0.4]]))
TWO = Mixture(SCHEDULE, torch.tensor([0.5, 0.5]), torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), torch.tensor([0.6, 0.6]))
GUESSES, STEPS = discover(posterior, Posterior), discover(posterior, PosteriorSampler)
NAMES = [*GUESSES, *STEPS]


def built(name, denoiser, y=Y, operator=A, std_y=STD):
    """(denoiser, sampler) of a method."""
    if name in STEPS:
        return denoiser, STEPS[name].variants(y, operator, std_y)[0]
    noisy = () if name == "DDNM" else (std_y,)
    return GUESSES[name](denoiser, y, operator, *noisy), DDPM()


def start(name, seeds, shape=(2,), K=2):
    """x_1 and the noise of the way; for particles, K a row."""
    noise = Seeded(seeds)
    shape = (K, *shape) if name in STEPS and STEPS[name].particles else shape
    return SCHEDULE.start(noise.draw(torch.empty(len(noise.streams), *shape))), noise


def sampled(name, denoiser, n, steps, y=Y, operator=A, std_y=STD):
    """(n, D)"""
    around, sampler = built(name, denoiser, y, operator, std_y)
    particles = name in STEPS and STEPS[name].particles
    x_1, noise = start(name, range(1 if particles else n), K=n)
    x = sampler(around, x_1, grids.Uniform(steps)(SCHEDULE), noise)
    return x[0] if particles else x
