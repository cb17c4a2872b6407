"""The Gaussians of a data set, by which sampling may begin."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.gaussians import Gaussians
from ..data.base import Dataset
from ..systems.diffusion import Diffusion
from .latents import latents


def fitted(system: Diffusion, data: Dataset) -> Gaussians | None:
    """One of each class that the system knows, or one of all where it knows none or they are too many or too small; None
    where the data are too few for that.
    """
    label = data.values.get("label") if getattr(system.conditioner, "classes", ()) == data.classes else None
    everything = [torch.arange(len(data))]
    groups = [] if label is None else [(label == i).nonzero()[:, 0] for i in range(len(data.classes))]
    return (groups and of(system, data, groups)) or of(system, data, everything)


def of(system: Diffusion, data: Dataset, groups: Sequence[Tensor]) -> Gaussians | None:
    """One of each group of rows; None where they are too few or too many for that."""
    entries = torch.Size(system.shape).numel()
    if not Gaussians.axes_of([len(group) for group in groups], entries):
        return None
    coded = latents(data, system.codec)
    return Gaussians.fit(
        [
            system.codec.encode(data.raw[rows]) if coded is None else coded[rows]
            for rows in Gaussians.rows(groups, entries)
        ],
        [len(group) for group in groups],
    )
