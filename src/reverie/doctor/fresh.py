"""Weights that were never trained, or never loaded."""

from ..errors import some
from .base import Examination, Finding, passed


class Fresh(Examination):
    """No tensor still equals its initialisation: drawn again from the recipe's seed, and whatever the seed, the zeros and
    ones that layers begin with.
    """

    order = 35

    def examine(self, patient):
        first = patient.initial.state_dict()
        known = "seed" in patient.options
        for name, tensors in patient.weights.items():
            same = [
                key for key, tensor in tensors.items()
                if key in first and tensor.shape == first[key].shape and tensor.equal(first[key].to(tensor.dtype))
            ]  # fmt: skip
            if not same:
                how = "drawn again from the recipe's seed" if known else "of zeros and ones, the seed being unknown"
                yield passed(f"{name}: none of {len(tensors)} tensors equals its initialisation ({how})", 0, 0)
            elif len(same) == len(tensors):
                yield Finding("fault", f"{name}: all {len(tensors)} tensors are still the initial ones: nothing was trained, "
                              "or nothing was loaded", "see `log` for the learning rate; or take the weights of another "
                              "checkpoint", len(same), 0, tuple(same))  # fmt: skip
            else:
                yield Finding("fault", f"{name}: half-loaded, {len(same)} of {len(tensors)} tensors are still their "
                              f"initialisation: {some(same)}", "load all of the tensors: those names were missing where the "
                              "weights came from, or are frozen", len(same), 0, tuple(same))  # fmt: skip
