"""The data of these tests, for which denoisers, flows and posteriors are known exactly."""

import torch

from reverie import samplers
from reverie.core import schedules
from reverie.core.oracles import Mixture
from reverie.core.schedules import Schedule
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
