"""Something new for a trained model, from a few pictures: low-rank changes of its layers, in a file of their own."""

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from .. import discover
from ..conditioning import words
from ..conditioning.labels import Labels
from ..conditioning.text import Text, packed, unpacked
from ..conditioning.unconditional import Unconditional
from ..core import densities, weights
from ..core.densities import Density
from ..core.noise import stream
from ..core.parameterizations import Flow, Karras
from ..core.schedules import Discrete
from ..core.weights import Weight
from ..data.base import Dataset
from ..data.check import Check
from ..errors import ReverieError, some, unknown
from ..files import cache_folder, load_tensors, save_tensors
from ..hub.adapters import LAYOUTS, Adapter, write_adapter
from ..nn.lowrank import insert, matched, merged, taken
from ..nn.mmdit import MMDiT
from ..nn.spatial import SpatialUNet
from ..systems.base import WEIGHTS, Samples, open_run
from ..systems.diffusion import Diffusion
from .base import option
from .card import card
from .generation import denoising
from .learning import Training
from .opening import folder_of_pictures
from .screen import say
from .starting import folder_of, named, require_same
from .wording import WORDS, Wording

LAYERS: dict[type, str] = {SpatialUNet: "*.blocks.*.own, *.blocks.*.cross", MMDiT: "blocks.*.attention"}
"""Those that are changed in large networks: their attentions. In others all are."""
FILE = "adapter.safetensors"
SHOWN, ENTRIES = 20, 2**20
"""Samples of a preview, and numbers in all of them."""
MOST_RANK = 4096


@dataclass(frozen=True)
class Adapt(Training):
    """Something new for a trained run from a few pictures: LoRA, DreamBooth (--prior-samples), textual inversion (--word).

    The layers of --from RUN stay as they are; a change of low rank on each is learned. The new run has it in its weights, and
    beside them as adapter.safetensors, small enough to share: `reverie sample RUN --adapter FILE:SCALE`. A new word is
    learned through the text encoder, with changes of the network or, at --rank 0, alone: words.safetensors.
    """

    data: str = ""
    minutes: float | None = option(
        5.0, "train for about this long; the samples it amounts to are measured at the start"
    )
    source: str = option("", "the run that is adapted", flag="from")
    from_weights: str = option("ema", "which weights of that run: ema or raw")
    rank: int = option(8, "of the changes")
    alpha: float | None = option(None, "times which the changes count, over the rank; the rank unless told otherwise")
    layers: str | None = option(
        None,
        "patterns of the layers that are changed, such as '*.q, *.v, middle'; all, or the attentions of a large network",
    )
    word: str = option(
        "", "a new word for what the pictures show, such as '<my cat>': textual inversion; in --prompt, or captions"
    )
    like: str = option("", "a word that the text encoder knows, from which the new one starts, such as 'cat'")
    vectors: int = option(1, "of the new word")
    prompt: str = option("", "of pictures that have no caption of their own, for a run that reads text")
    prior_samples: int = option(0, "of the run's own samples that are learned beside, so that it forgets less")
    prior: str = option("", "the prompt or the class of those samples, such as 'a cat'")
    prior_share: float = option(0.5, "of them in what is learned, at least")
    size: int | None = option(None, "pixels of a side, which the run says")
    strict: bool = option(False, "refuse a folder of which anything is skipped or doubtful")
    weight: str | None = option(None, "of the loss over noise levels; by what the network predicts")
    density: str | None = option(None, "noise levels trained on; by what the network predicts")
    optimizer: str = option("adamw", "adamw, or muon")
    learning_rate: float | None = option(1e-3, "the highest; it rises over the first samples and falls at the end")
    batch: int = option(8, "samples an update")
    warmup: int = option(200, "samples over which the learning rate rises")
    snapshots: int = option(0, "none are kept: adapters have no lengths of averages to choose from")

    reads_captions = True

    def checked(self):
        if self.snapshots:
            raise ReverieError("averages of an adapter are not kept on the way: leave out --snapshots")
        super().checked()
        if not (0 if self.word else 1) <= self.rank <= MOST_RANK:
            raise ReverieError(
                f"the rank is from 1 to {MOST_RANK}, or 0 where only a --word is learned, not {self.rank}"
            )
        if self.word:
            words.named(self.word)
            if not self.like or not 1 <= self.vectors <= words.MOST or self.workers:
                raise ReverieError(
                    f"a new word starts --like one that is known, has 1 to {words.MOST} vectors, and is learned with no --workers"
                )
        elif self.like or self.vectors != 1:
            raise ReverieError("--like and --vectors are about a new word: say --word '<my cat>'")
        if self.alpha is not None and not 0 < self.alpha <= 1e6:
            raise ReverieError(f"alpha is a number above 0, not {self.alpha:g}")
        if not 0 <= self.prior_samples <= 10_000 or not 0 < self.prior_share < 1:
            raise ReverieError("prior-samples are 0 to 10000, and their share lies between 0 and 1")
        if self.prior and not self.prior_samples:
            raise ReverieError("--prior says what --prior-samples N are of: say how many")
        if self.from_weights not in WEIGHTS:
            raise unknown("weights", self.from_weights, WEIGHTS)
        for kind, package, base, asked in (
            ("weight", weights, Weight, self.weight),
            ("density", densities, Density, self.density),
        ):
            if asked is not None:
                discover.parse(kind, package, base, asked)  # type: ignore[type-abstract]

    def opened(self) -> Diffusion:
        """The model that is adapted. Raises ReverieError where it is none that can be."""
        if not self.source:
            raise ReverieError("an adapter is of a run: give --from RUN")
        system = open_run(folder_of(self.source), self.from_weights)
        if type(system) is not Diffusion or not isinstance(system.conditioner, (Text, Labels, Unconditional)):
            raise ReverieError(
                f"{self.source} is a {type(system).__name__} that cannot be adapted: it takes a run of pictures told a prompt, "
                "a class or nothing"
            )
        return system

    def dataset(self):
        source = self.opened()
        channels, *sides = source.raw_shape
        if len(sides) != 2 or sides[0] != sides[1]:
            raise ReverieError(f"{self.source} makes samples of {'x'.join(map(str, source.raw_shape))}: adapters are of square "
                               "pictures")  # fmt: skip
        if self.size not in (None, sides[0]):
            raise ReverieError(
                f"{self.source} makes pictures of {sides[0]} pixels a side, not {self.size}: leave out --size"
            )
        data = folder_of_pictures(self.data, sides[0])
        if self.strict:
            Check(data).require_clean()
        if data.shape[0] != channels:
            raise ReverieError(f"these pictures have {data.shape[0]} channels, and {self.source} makes {channels}")
        return data

    def loaded(self):
        data, source = super().loaded(), self.opened()
        data = replace(data, values=self.values(source, data), classes=getattr(source.conditioner, "classes", ()),
                       scalar_names=(), test=None)  # fmt: skip
        return self.with_prior(data, source) if self.prior_samples else data

    def values(self, source: Diffusion, data: Dataset) -> dict[str, Tensor]:
        """What is said of each picture, in the words of the source."""
        if isinstance(source.conditioner, Text):
            return {"prompt": packed(self.captions(data))}
        if self.prompt:
            raise ReverieError(f"{self.source} reads no text: leave out --prompt")
        if isinstance(source.conditioner, Unconditional):
            return {}
        assert isinstance(source.conditioner, Labels)
        known, label = source.conditioner.classes, data.values.get("label")
        if strange := sorted(set(data.classes) - set(known)):
            raise ReverieError(f"{self.source} knows no class called {some(strange)}; it knows {some(known)}")
        if label is None and not source.conditioner.has_null:
            raise ReverieError(
                f"{self.source} is always told a class: put the pictures into folders named as {some(known)}"
            )
        if label is None:
            return {"label": torch.full((len(data),), -1)}
        places = torch.tensor([known.index(name) for name in data.classes])
        return {"label": torch.where(label < 0, label, places[label.clamp(min=0)])}

    def captions(self, data: Dataset) -> tuple[str, ...]:
        found = tuple(said or self.prompt for said in data.captions or ("",) * len(data))
        if self.word and not any(self.word in one for one in found):
            raise ReverieError(
                f"no caption of {data.name} has {self.word} in it: give --prompt 'a photo of {self.word}'"
            )
        if not all(found):
            raise ReverieError(f"{data.name} has pictures without a caption: give --prompt 'a photo of ...' for those")
        return found

    def with_prior(self, data: Dataset, source: Diffusion) -> Dataset:
        """The pictures, as often as it takes, and samples of the source as it is: DreamBooth's prior preservation.

        Ruiz et al. 2022, https://arxiv.org/abs/2208.12242
        """
        asked: Any = None if isinstance(source.conditioner, Unconditional) else self.prior or ...
        if isinstance(source.conditioner, Text) and not self.prior:
            raise ReverieError("say what the model's own samples are of: --prior 'a cat'")
        if self.prior and isinstance(source.conditioner, Unconditional):
            raise ReverieError(f"{self.source} is told nothing: leave out --prior")
        n, seed = self.prior_samples, stream(self.seed, "prior")
        told = json.dumps([source.weights_hash, n, self.prior, seed])
        path = cache_folder("prior") / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.safetensors"
        if not path.is_file():
            say(f"making {n:,} samples of the run as it is; they are kept in {path}")
            made = source.generate(n, seed=seed % 2**32, condition=asked)
            save_tensors(path, {"raw": made.raw, **made.values})
        found = load_tensors(path)
        raw, values = found.pop("raw"), found
        times = max(1, round(n * (1 - self.prior_share) / self.prior_share / len(data)))
        own = data.take(list(range(len(data))) * times)
        if "prompt" in own.values:  # rows are as long as the longest
            width = max(own.values["prompt"].shape[1], values["prompt"].shape[1])
            pad = lambda rows: torch.nn.functional.pad(rows, (0, width - rows.shape[1]))
            own.values, values = {"prompt": pad(own.values["prompt"])}, {"prompt": pad(values["prompt"])}
        say(
            f"{n:,} samples of the run as it is beside {len(data):,} pictures, each of which is seen {times} times as often"
        )
        return replace(
            own, raw=torch.cat([own.raw[:], raw]), captions=(),
            values={key: torch.cat([value, values[key]]) for key, value in own.values.items()},
        )  # fmt: skip

    def started(self, data, before=None):
        source = self.opened()
        if before is not None:
            require_same(source, before["from"], self.source)
        told = named(self, source)
        say(f"adapts {told['name']}, weights {told['weights']}, sha256 {told['sha256'][:16]}")
        return self, {"from": told}

    def take_over(self, told, system):
        require_same(self.opened(), told, self.source)

    def closed(self, data, total):
        return super().closed(data, total).suited(self.opened())

    def suited(self, source: Diffusion) -> Self:
        """The recipe with what the source decides."""
        kind, schedule = source.denoiser.parameterization, source.denoiser.schedule
        weight, density = "simple", "uniform"
        if isinstance(kind, Karras):
            weight, density = "karras", "lognormal"
        elif isinstance(kind, Flow):
            weight, density = "flow", "logitnormal"
        elif isinstance(schedule, Discrete):
            density = f"discrete(count={len(schedule.log_snrs())})"
        return replace(
            self, layers=self.layers or LAYERS.get(type(source.network), "*"),
            alpha=float((self.rank or 1) if self.alpha is None else self.alpha), weight=self.weight or weight,
            density=self.density or density,
        )  # fmt: skip

    def system(self, data):
        system = self.opened()
        closed = self.suited(system)
        assert closed.layers and closed.alpha
        try:
            names = matched(system.network, closed.layers) if self.rank else []
            insert(system.network, names, self.rank, closed.alpha, stream(self.seed, "weights") % 2**63)
        except ValueError as error:
            raise ReverieError(f"--layers: {error}") from None
        if self.word and isinstance(system.conditioner, Text):
            wording = Wording.of(system.conditioner, self.word, self.like, self.vectors)
            system.conditioner, system.network.words = wording, wording.vectors
        elif self.word:
            raise ReverieError(f"{self.source} reads no text: leave out --word")
        elif isinstance(system.conditioner, Text):
            system.conditioner.remember(told_of(data))
        system.about = {
            "name": data.name,
            "licence": data.licence,
            "source": "",
            "data": data.fingerprint(),
            "count": len(data),
        }
        system.gaussians = None  # those are of the source's data
        return system

    def loss(self, system):
        closed = self.suited(system)
        assert closed.weight and closed.density
        return denoising(system, closed.weight, closed.density, self.dtype or "float32")

    def finish(self, system, data, average, early):
        if system.defaults.weak:  # the source's early self is none of this one's
            system.defaults = replace(system.defaults, weak="", scale=1.0)

    def whole(self, tensors):
        return {name: one for name, one in merged(tensors).items() if not name.startswith(WORDS)}

    def shared_among(self, processes):
        super().shared_among(processes)
        if self.word and processes > 1:
            raise ReverieError("a new word is learned by one process: leave out --word, or the others")

    def saved(self, system, folder):
        if not self.word:
            return system
        system = copy.copy(system)
        system.conditioner = system.conditioner.plain(folder)
        return system

    def store(self, system, folder, weights):
        if self.rank:
            adapter = Adapter(taken(weights["ema"]), {})
            try:
                write_adapter(folder / FILE, adapter, system, LAYOUTS[1])
            except ReverieError:  # it has no names for these layers
                write_adapter(folder / FILE, adapter, system)
        if self.word:
            vectors = {
                int(name.removeprefix(WORDS)): one for name, one in weights["ema"].items() if name.startswith(WORDS)
            }
            system.conditioner.write(folder, vectors)
        super().store(self.saved(system, folder), folder, weights)

    def preview(self, system, data) -> Samples:
        asked: Any = told_of(data)[:SHOWN] if "prompt" in data.values else ...
        count = max(1, min(SHOWN, ENTRIES // math.prod(system.raw_shape)))
        return system.generate(count, seed=self.seed, condition=asked, sample_steps=12, dtype=self.dtype)

    def card(self, system, folder):
        return card(system, folder, self)


def told_of(data: Dataset) -> Sequence[str]:
    """The prompts of a data set, each once."""
    return list(dict.fromkeys(unpacked(data.values["prompt"])))
