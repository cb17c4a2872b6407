"""What maps raw samples to features in which distributions of pictures can be compared."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from ..discover import discover, lookup
from ..errors import ReverieError
from ..files import cache_folder, load_tensors, sha256


class Extractor(nn.Module, ABC):
    """Features (B, D) of raw samples (B, *): uint8 on 0..255, or floats, which for pictures lie in [-1, 1].

    `forward` keeps gradients, for perceptual losses; `extract` has none. Weights are frozen, and an instance is made in
    evaluation mode.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What stands beside every figure: the class and what changes its features."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """D."""

    @property
    @abstractmethod
    def hash(self) -> str:
        """SHA-256 of the file of weights, or of the name and version where there is none."""

    @classmethod
    @abstractmethod
    def claims(cls, shape: tuple[int, ...], dataset: str | None = None) -> int:
        """How well it fits samples of a shape (C, *) from a data set: 0 not by itself, 1 as a last resort, 2 for its
        kind of sample, 3 for that very data set, 4 where no network is needed.
        """

    @classmethod
    @abstractmethod
    def build(cls, shape: tuple[int, ...], dataset: str | None = None) -> "Extractor":
        """The instance for samples of a shape (C, *) from a data set. Raises ReverieError where there is none."""

    @abstractmethod
    def forward(self, raw: Tensor) -> Tensor:
        """(B, *) -> (B, D)."""

    def batches(self, raw: Tensor, batch: int = 64) -> Iterator[Tensor]:
        """Features of N samples, a batch (B, D) at a time, in evaluation mode and without gradients."""
        device = next((p.device for p in self.parameters()), raw.device)
        for part in raw.split(batch):
            training = self.training
            self.eval()
            try:
                with torch.no_grad():
                    features = self(part.to(device))
            finally:
                self.train(training)
            yield features.to(raw.device)

    def extract(self, raw: Tensor, batch: int = 64) -> Tensor:
        """(N, *) -> (N, D), without gradients."""
        if not len(raw):
            raise ReverieError(f"{self.name}: there is no sample to take features of")
        return torch.cat(list(self.batches(raw, batch)))


def choose(shape: tuple[int, ...], dataset: str | None = None, name: str | None = None) -> Extractor:
    """The extractor of that name, or the one that claims samples of a shape (C, *) from a data set most strongly."""
    package = import_module(__package__)
    if name is not None:
        return lookup("extractor", package, Extractor, name).build(shape, dataset)
    known = discover(package, Extractor).values()
    return max(known, key=lambda cls: cls.claims(shape, dataset)).build(shape, dataset)


def signed(raw: Tensor) -> Tensor:
    """Pictures in [-1, 1]: bytes k become k / 127.5 - 1, floats are there already."""
    return raw.float() / 127.5 - 1 if raw.dtype == torch.uint8 else raw


def named_hash(name: str, version: int = 1) -> str:
    """The hash of an extractor without weights."""
    return hashlib.sha256(f"{name} version {version}".encode()).hexdigest()


def cached(name: str, mend: str = "run `reverie data get {name}`") -> Path:
    """The file of pretrained weights of that name in the user's cache. Raises ReverieError saying how it gets there."""
    folder = cache_folder("data", name)
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise ReverieError(f"the weights of {name} are not on this machine: {mend.format(name=name, folder=folder)}")
    if len(found) > 1:
        raise ReverieError(f"{folder} holds {len(found)} files of weights; leave the one that is meant")
    return found[0]


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file, in float32, and its hash."""
    tensors = load_tensors(path)
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, sha256(path)
