"""The data of these tests, for which denoisers, flows and posteriors are known exactly."""

from functools import cache

import torch

from reverie import samplers
from reverie.core import schedules
from reverie.core.oracles import Mixture, fit
from reverie.core.schedules import Schedule
from reverie.data import builtin
from reverie.discover import variants
from reverie.samplers.base import Sampler

SCHEDULES = variants(schedules, Schedule)
SAMPLERS = variants(samplers, Sampler)


def two_bumps(schedule):
    return Mixture(schedule, torch.tensor([0.4, 0.6]), torch.tensor([[-1.0], [0.8]]), torch.tensor([0.3, 0.2]))


def gaussian(schedule, std=0.5, dim=3):
    return Mixture(schedule, torch.ones(1), torch.zeros(1, dim), torch.tensor([std]))


def two_classes(schedule):
    """In the plane: the first coordinate tells the class, and with it the second."""
    means = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    return Mixture(schedule, torch.tensor([0.5, 0.5]), means, torch.tensor([0.3, 0.3]))


def levels(n):
    """(n, 1): the middles of n equal shares of probability."""
    return (torch.arange(n, dtype=torch.float64)[:, None] + 0.5) / n


def correlated(schedule):
    """In the plane, each component with axes of its own."""
    weights = torch.tensor([0.2, 0.5, 0.3])
    means = torch.tensor([[-1.0, 0.5], [0.3, -0.7], [1.2, 1.0]])
    covariances = torch.tensor([[[0.2, 0.1], [0.1, 0.3]], [[0.3, -0.2], [-0.2, 0.2]], [[0.1, 0.0], [0.0, 0.1]]])
    return Mixture.of(schedule, weights, means, covariances)


@cache
def digits():
    """The real ones as vectors of 64 in [-1, 1]: (1497, 64) and, held out, (300, 64), float64."""
    data = builtin.load("digits")
    return tuple(part.raw.flatten(1).double() / 127.5 - 1 for part in (data, data.test))


@cache
def digit_mixture(schedule):
    """A mixture of 20 fitted to them, in 64 dimensions."""
    return fit(schedule, digits()[0], count=20, steps=12, floor=0.01)
