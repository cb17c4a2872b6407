"""Training of any network on a data set: the options and the seams that all of it shares."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from ..data.base import Dataset
from ..errors import ReverieError, unknown
from ..systems.base import Samples
from ..training.optimizers import OPTIMIZERS
from .base import Recipe, option
from .feeding import MOST_WORKERS, Change
from .running import train_run


@dataclass(frozen=True)
class Training(Recipe, abc.ABC):
    """The options of training; what is None is chosen, once, and written into the run's recipe.json."""

    minutes: float | None = option(
        None, "train for about this long; the samples it amounts to are measured at the start"
    )
    samples: int | None = option(None, "train until this many samples were seen, whatever the minutes")
    seed: int = option(0, "of weights, order and noise")
    batch: int = option(32, "samples an update")
    micro_batch: int | None = option(None, "samples at a time, where a batch does not fit in memory")
    learning_rate: float | None = option(
        None, "the highest, 0.004 for muon and 0.002 for adamw; it rises over the first samples and falls at the end"
    )
    optimizer: str = option("muon", "muon, which learns more from each sample, or adamw")
    weight_decay: float = option(0.0, "of the optimizer")
    warmup: int = option(5_000, "samples over which the learning rate rises")
    decay: float = option(0.6, "share of training over which the learning rate falls to nothing")
    average: float = option(0.1, "length of the average of the weights that is saved, as a share of training")
    held_out: int = option(0, "samples kept from training to evaluate against, where a set has none of its own")
    dtype: str | None = option(None, "float32 or bfloat16; the faster in a short trial")
    workers: int = option(0, "threads that prepare batches ahead; 0 prepares each when it is needed. Changes no bytes")
    checkpoints: int = option(8, "times that training is saved on the way")
    snapshots: int = option(16, "times that averages are kept, to choose their length afterwards")

    after: ClassVar[str] = "Make samples with"
    command: ClassVar[str] = "reverie sample {run}"
    """What is said at the end."""
    compile = "off"
    """Kernels compiled for this machine, where a recipe has a choice."""
    augment = 0.0
    """Probability of each geometric change of a sample, where a recipe makes some."""
    source = ""
    """The run whose weights this one starts from, where a recipe can."""
    codec = ""
    """The run whose autoencoder it works with, where a recipe can."""
    reads_captions: ClassVar[bool] = False
    """Whether what is said of samples is learned."""

    @abc.abstractmethod
    def dataset(self) -> Dataset:
        """The data, with their `test` part where there is one."""

    @abc.abstractmethod
    def system(self, data: Dataset) -> Any:
        """The model with fresh weights, a function of the data and the options; what is frozen needs no gradient."""

    @abc.abstractmethod
    def loss(self, system: Any) -> nn.Module:
        """What is minimised, called with what `feeding.prepared` makes."""

    @abc.abstractmethod
    def preview(self, system: Any, data: Dataset) -> Samples:
        """What is looked at on the way."""

    @abc.abstractmethod
    def card(self, system: Any, folder: Path) -> str:
        """README.md of the run."""

    def run(self, out=None, resume=False):
        return train_run(self, out, resume)

    def loaded(self) -> Dataset:
        data = self.dataset()
        if self.held_out and data.test is None:
            data, test = data.split(self.held_out, self.seed)
            data.test = test
        return data

    def checked(self) -> None:
        """Raises ReverieError for options that cannot be, before anything is written."""
        for name in (
            "batch",
            "micro_batch",
            "samples",
            "minutes",
            "learning_rate",
            "checkpoints",
        ):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ReverieError(f"{name.replace('_', '-')} must be more than 0, not {value}")
        if self.snapshots < 0:
            raise ReverieError(f"snapshots must be 0 or more, not {self.snapshots}")
        if self.micro_batch and self.batch % self.micro_batch:
            raise ReverieError(f"a batch of {self.batch} is not a whole number of micro-batches of {self.micro_batch}")
        if self.dtype not in (None, "float32", "bfloat16"):
            raise ReverieError(f"dtype is float32 or bfloat16, not {self.dtype!r}")
        if not 0 <= self.workers <= MOST_WORKERS:
            raise ReverieError(f"workers are 0 to {MOST_WORKERS}, not {self.workers}")
        if self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS)

    def shared_among(self, processes: int) -> None:
        """Raises ReverieError where a batch cannot be shared out evenly, whole micro-batches to each process."""
        share = self.batch // processes
        if self.batch % processes or (self.micro_batch and share % self.micro_batch):
            raise ReverieError(f"a batch of {self.batch} cannot be shared among {processes} processes in equal parts")

    def augmentation(self, data: Dataset) -> Change | None:
        """What is done to samples at random, None where nothing is."""
        return None

    def started(self, data: Dataset, before: Mapping[str, Any] | None = None) -> tuple[Self, dict[str, Any]]:
        """The recipe with what it takes from other runs, and what recipe.json says of those."""
        return self, {}

    def take_over(self, told: Mapping[str, Any], system: Any) -> None:
        """Puts the weights that the run starts from into the system, where recipe.json tells of some.

        Raises ReverieError where they are not those.
        """

    def whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of the network that a run has, of those of the one that is trained."""
        return tensors

    def saved(self, system: Any, folder: Path) -> Any:
        """The system as its run has it, once it was stored there."""
        return system

    def store(self, system: Any, folder: Path, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Writes the model into its run: the system, and weights by their names."""
        system.save(folder, **{name: self.whole(tensors) for name, tensors in weights.items()})

    def closed(self, data: Dataset, total: int) -> Self:
        """The recipe with nothing left open, of so many samples to see."""
        return replace(self, warmup=min(self.warmup, total // 4))

    def plain(self) -> Self:
        """The recipe with nothing done beside, so that every tensor can be seen."""
        return replace(self, workers=0)

    def rivals(self, loss: nn.Module) -> Sequence[nn.Module]:
        """Losses of what is trained beside it, and not kept when training ends; the loss knows of them."""
        return ()

    def finish(self, system: Any, data: Dataset, average: Mapping[str, Tensor], early: bool) -> None:
        """Puts what follows from the averaged weights into the system, which is about to be saved with them; `early` is
        whether weights of a quarter of training are at hand.
        """
