"""The order in which samples are seen: a function of the seed and of how many were seen; there is no state to lose."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

U64 = 2**64


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """A permutation of range(n), (n,) int64: the ranks of n words of the Philox stream whose key is (seed, epoch).

    The raw stream, unlike a library's shuffle, is fixed by its specification, whatever the version or the machine.
    Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405
    """
    key = np.array([seed % U64, epoch % U64], dtype=np.uint64)
    order = np.argsort(np.random.Philox(key=key).random_raw(n), kind="stable")
    order.flags.writeable = False
    return order


def which(seed: int, seen_indices: range, n: int) -> Tensor:
    """The rows of a set of n that the samples seen as `seen_indices` are, (len(seen_indices),) int64.

    Index i is place i mod n of epoch i // n, and every epoch is a permutation of its own.
    """
    seen = np.arange(seen_indices.start, seen_indices.stop, seen_indices.step, dtype=np.int64)
    if n < 1 or (len(seen) and seen.min() < 0):
        raise ValueError(f"no sample is number {seen_indices} of {n}")
    rows = np.empty_like(seen)
    epochs, places = np.divmod(seen, n)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        rows[here] = permutation(seed, int(epoch), n)[places[here]]
    return torch.from_numpy(rows)
