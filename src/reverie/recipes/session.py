"""The state of one training: what a checkpoint holds, how it is saved, put back, and carried through what goes wrong."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import files
from ..data.base import Dataset
from ..errors import ReverieError
from ..files import fill, load_tensors, must_fit
from ..modalities.grids import write_picture
from ..systems.base import hash_of
from ..systems.records import KEY, made_by
from ..training import checkpoints
from ..training.averages import Average, Power, snapshot
from ..training.checkpoints import Checkpoint
from ..training.guard import Guard
from ..training.loop import Objective, Step, train
from ..training.memory import OutOfMemory, is_shortage
from ..training.processes import bare
from ..training.rates import Trapezoid
from .feeding import batches
from .latents import latents
from .screen import say
from .trial import LENGTHS, optimizer_of, smaller

if TYPE_CHECKING:
    from .learning import Training

EARLY = "early"
"""The weights that guide a model without conditions away from its own early self."""


@dataclass
class Session:
    """Network, optimizer, averages and counters of a run, on `door`, the accelerator. Weights start as the system's."""

    recipe: "Training"
    data: Dataset
    system: Any
    """A `System` with a codec, a conditioner and a modality."""
    folder: Path
    door: Any
    settled: dict[str, Any]
    """The contents of recipe.json."""
    count: int = 0
    """Updates so far, those skipped included."""
    seen: int = 0
    guard: Guard = field(default_factory=Guard)

    def __post_init__(self) -> None:
        self.loss = self.recipe.loss(self.system)
        self.backbone = self.system.network
        self.backbone.compiled = self.recipe.compile == "on"
        self.system.network = self.door.prepare(self.backbone)
        self.loss.to(self.door.device)
        self.optimizer = self.door.prepare(optimizer_of(self.recipe, self.loss))
        self.rivals = [
            Objective(one.to(self.door.device), self.door.prepare(optimizer_of(self.recipe, one)))
            for one in self.recipe.rivals(self.loss)
        ]
        self.kept = self.averages()
        self.coded = latents(self.data, self.system.codec)

    def averages(self) -> dict[float, Average]:
        return {length: Average(self.backbone, Power(length)) for length in sorted({*LENGTHS, self.recipe.average})}

    def begin(self) -> None:
        """The weights before the first update: what is taken over from another run, where the recipe names one."""
        if told := self.settled.get("from"):
            with self.unwrapped():
                self.recipe.take_over(told, self.system)
            self.kept = self.averages()

    def steps(self) -> Iterator[Step]:
        """The updates that are left. Where memory runs out, batches go on in smaller parts, which recipe.json then says."""
        recipe, door = self.recipe, self.door
        assert recipe.samples
        share = recipe.batch // door.num_processes
        while self.seen < recipe.samples:
            micro, until = self.micro_batch()
            fed = batches(self.data, self.system.codec, self.system.conditioner, seed=recipe.seed, seen=self.seen,
                          total=until, batch=recipe.batch, micro_batch=micro, rank=door.process_index,
                          processes=door.num_processes, device=door.device, workers=recipe.workers,
                          augmentation=recipe.augmentation(self.data), latents=self.coded)  # fmt: skip
            loop = train([Objective(self.loss, self.optimizer), *self.rivals], fed, accelerator=door, accumulate=share // micro,
                         rate=Trapezoid(recipe.samples, recipe.warmup, recipe.decay), seed=recipe.seed,
                         count=self.count, seen=self.seen, guard=self.guard)  # fmt: skip
            try:
                for step in loop:
                    self.count, self.seen = step.updates, step.seen
                    for average in self.kept.values():
                        average.update(self.backbone, step.before, step.seen)
                    yield step
            except OutOfMemory as error:
                self.shrink(micro, share, error)

    def micro_batch(self) -> tuple[int, int]:
        """Samples at a time from here on, and up to how many samples seen."""
        recipe, door = self.recipe, self.door
        assert recipe.samples
        marks = [
            (0, recipe.micro_batch or recipe.batch // door.num_processes),
            *self.settled["chosen"].get("smaller", []),
        ]
        now = max(i for i, (start, _) in enumerate(marks) if start <= self.seen)
        return marks[now][1], marks[now + 1][0] if now + 1 < len(marks) else recipe.samples

    def shrink(self, micro: int, share: int, error: OutOfMemory) -> None:
        """Goes on with a smaller micro-batch, or raises ReverieError where there is none."""
        less = smaller(micro, share)
        if self.door.num_processes > 1 or not less:
            mend = "give --micro-batch" if less else "choose a smaller --network"
            raise ReverieError(f"{error}: {mend}, or free some. {checkpoints.KEPT}")
        chosen = self.settled["chosen"]
        chosen["smaller"] = [*(mark for mark in chosen.get("smaller", []) if mark[0] < self.seen), [self.seen, less]]
        files.write_json(self.folder / "recipe.json", self.settled)
        say(f"{error}: going on with {less} samples at a time, which changes nothing but speed and rounding")

    def save(self) -> None:
        """The checkpoint, and the model as it is now. Raises ReverieError where the disk is full."""
        raw = bare(self.backbone)
        state, groups = checkpoints.of_optimizer(inner(self.optimizer))
        tensors = {"raw": raw.state_dict(), "optimizer": state}
        tensors |= {f"average-{length:.3f}": average.tensors for length, average in self.kept.items()}
        for i, rival in enumerate(self.rivals):
            beside, rival_groups = checkpoints.of_optimizer(inner(rival.optimizer))
            tensors |= {f"rival-{i}": rival.loss.state_dict(), f"rival-{i}-optimizer": beside}
            groups = [*groups, *rival_groups]
        said = {"count": self.count, "groups": groups, "guard": self.guard.score}
        with room(self.folder):
            checkpoints.save(self.folder / "checkpoints", Checkpoint(self.seen, tensors, said))
        self.publish()

    def publish(self) -> None:
        """The model as it is now."""
        raw = bare(self.backbone).state_dict()
        self.system.about["seen"] = self.seen
        early, average = self.early(), self.kept[self.recipe.average].tensors
        with room(self.folder), self.unwrapped():
            self.recipe.finish(self.system, self.data, average, early is not None)
            weights = {"ema": average, "raw": {}}
            weights |= {EARLY: load_tensors(early)} if early and self.system.weak_weights else {}
            self.recipe.store(self.system, self.folder, {name: {**raw, **tensors} for name, tensors in weights.items()})

    def early(self) -> Path | None:
        """The snapshot of the short average that was the first after a quarter of training."""
        (length, *_), total = sorted(LENGTHS), self.recipe.samples or 0
        for path in sorted((self.folder / "ema").glob(f"{length:.3f}-*.safetensors")):
            if (seen := path.stem.split("-")[1]).isdecimal() and total // 4 <= int(seen) <= self.seen:
                return path
        return None

    def describe(self) -> None:
        """Writes the card, which shows the newest preview."""
        with room(self.folder), self.unwrapped():
            files.write_text(self.folder / "README.md", self.recipe.card(self.system, self.folder))

    def snapshot(self) -> None:
        """The averages from which one of any length is reconstructed."""
        with room(self.folder):
            for length in LENGTHS:
                snapshot(self.folder / "ema", self.kept[length], self.seen)

    def restore(self) -> None:
        """Puts the newest whole checkpoint back, clears away what was begun after it, and ends what it began."""
        main = self.door.is_main_process
        if main:
            files.sweep(self.folder)
            checkpoints.prune(self.folder / "checkpoints")
        self.door.wait_for_everyone()
        found, faults = checkpoints.latest(self.folder / "checkpoints")
        if main:
            for fault in faults:
                say(f"skipped a checkpoint: {fault}")
            say(
                f"going on from {found.seen:,} samples"
                if found
                else "no checkpoint was saved yet: starting from the beginning"
            )
            for path in (self.folder / "ema").glob("*-*.safetensors"):
                after = path.stem.split("-")[1]
                if after.isdecimal() and int(after) > (found.seen if found else 0):
                    path.unlink()
        if found is None:
            self.begin()
            return
        self.put_back(found)
        if not main:
            return
        self.publish()
        if marked(self.seen - self.recipe.batch, self.seen, self.recipe.samples or 0, self.recipe.checkpoints):
            self.preview()
        self.describe()

    def put_back(self, found: Checkpoint) -> None:
        """Takes everything over from a checkpoint. Raises ReverieError where it is that of another run."""
        names = {f"average-{length:.3f}": average for length, average in self.kept.items()}
        beside = {f"rival-{i}{what}" for i in range(len(self.rivals)) for what in ("", "-optimizer")}
        lacking = {"raw", "optimizer", *names, *beside} - found.tensors.keys()
        count, score = found.state.get("count"), found.state.get("guard", 0.0)
        if lacking or type(count) is not int or count < 0 or type(score) not in (int, float):
            raise ReverieError(f"the checkpoint at {found.seen:,} samples in {self.folder} is not of this recipe: "
                               f"it lacks {', '.join(sorted(lacking)) or 'its counters'}")  # fmt: skip
        source = f"the checkpoint at {found.seen:,} samples in {self.folder}"
        fill(bare(self.backbone), found.tensors["raw"], source)
        groups, first = found.state.get("groups", []), len(inner(self.optimizer).param_groups)
        checkpoints.into_optimizer(inner(self.optimizer), found.tensors["optimizer"], groups[:first])
        for i, rival in enumerate(self.rivals):
            fill(rival.loss, found.tensors[f"rival-{i}"], source)
            last = first + len(inner(rival.optimizer).param_groups)
            checkpoints.into_optimizer(
                inner(rival.optimizer), found.tensors[f"rival-{i}-optimizer"], groups[first:last]
            )
            first = last
        for name, average in names.items():
            own = {key: tuple(tensor.shape) for key, tensor in average.tensors.items()}
            tensors = {key: tensor for key, tensor in found.tensors[name].items() if key in own}
            given = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
            must_fit(given, own, f"{source}, {name}", "the network of recipe.json")
            average.tensors = tensors
        self.count, self.seen, self.guard.score = count, found.seen, score

    def preview(self) -> None:
        """Grids of samples at fixed seeds, from the raw and the averaged weights; training goes on where there are none."""
        with self.unwrapped():
            saved, raw = self.recipe.saved(self.system, self.folder), self.system.network.state_dict()
            shown = type(saved).build(saved.describe())
        shown.attach(self.folder)
        for name, tensors in (("raw", raw), ("ema", {**raw, **self.kept[self.recipe.average].tensors})):
            path = self.folder / "samples" / f"{self.seen:08d}-{name}.png"
            if path.exists():
                continue
            fill(shown.network, {key: value.cpu() for key, value in self.recipe.whole(tensors).items()}, name)
            try:
                samples = self.recipe.preview(shown, self.data)
            except (ReverieError, MemoryError, RuntimeError) as error:
                if not isinstance(error, ReverieError) and not is_shortage(error):
                    raise
                say(f"no picture of the {name} weights at {self.seen:,} samples: {str(error).splitlines()[0]}")
                continue
            shown.about["weights"], shown.weights_hash = name, hash_of(self.folder, name)
            about = made_by(shown, self.system.about["name"], {**samples.info, "seen": self.seen}, made="preview")
            with room(self.folder):
                path.parent.mkdir(exist_ok=True)
                write_picture(shown.modality.show(samples.raw, columns=10), path, {KEY: about})

    @contextmanager
    def unwrapped(self) -> Iterator[None]:
        """The system with its own network inside, without what several processes wrap around it."""
        prepared = self.system.network
        self.system.network = bare(prepared)
        try:
            yield
        finally:
            self.system.network = prepared


def inner(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer that several processes' one is around."""
    return getattr(optimizer, "optimizer", optimizer)


def marked(before: int, seen: int, total: int, times: int) -> bool:
    """Whether training passed one of `times` even marks of the whole between two counts of samples seen."""
    return before * times // total < seen * times // total


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """Says what a full disk means for the run."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        whole = [path.name for path in checkpoints.saved(folder / "checkpoints")]
        kept = f"the checkpoint at {int(whole[-1]):,} samples is whole" if whole else "no checkpoint was saved yet"
        raise ReverieError(
            f"the disk of {folder} is full; {kept}. Make room, then: reverie train --resume {folder}"
        ) from None
