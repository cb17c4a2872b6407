"""What a system is, and how one is read from a folder."""

import abc
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from .. import discover
from ..errors import ReverieError
from ..files import fill, load_tensors, must_fit, save_tensors, sha256, write_json
from ..headers import header
from ..reading import contained, read_object

FORMAT = 1
"""Of model.json."""
WEIGHTS = ("ema", "raw")
MODELS = Path(__file__).parent.parent / "models"
"""Those that ship with the package, whose files the installer may have made links."""


@dataclass
class Samples:
    """What a system made: raw data (N, C, *axes), the values asked for, and what made each."""

    raw: Tensor
    values: dict[str, Tensor] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    """What all samples have in common: sampler, steps, scale, seed, weights."""
    index: list[int] = field(default_factory=list)
    """Each sample's place in the stream of the seed: with it, one can be made again alone."""

    def __len__(self) -> int:
        return len(self.raw)


class System(abc.ABC):
    """Denoiser, codec, conditioner, modality and defaults; `describe` and `build` are inverse but for the weights."""

    weights_hash: str = ""
    """SHA-256 of the file that the weights came from, empty where there was none; of a reconstructed average, that of
    the names and hashes of the snapshots it came from."""
    average: float | None = None
    """The length of a reconstructed average, as a share of training."""
    adapters: tuple[tuple[str, float], ...] = ()
    """SHA-256 and scale of the adapters that were added to the weights in memory."""
    about: dict[str, Any]
    """What it was trained on and how, as plain data: name, data, licence, seen."""
    verbs: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """What else can be done with a system, as system.NAME(...): a package below hands it up, none is known here."""

    @property
    @abc.abstractmethod
    def network(self) -> nn.Module:
        """All that has weights, under the names they are saved by; training puts what wraps it in its place."""

    @network.setter
    @abc.abstractmethod
    def network(self, network: nn.Module) -> None: ...

    @property
    def weak_weights(self) -> str:
        """The name of weights that lie in the run beside its own, where it samples with their help."""
        return ""

    @abc.abstractmethod
    def generate(self, n: int = 16, *, seed: int = 0, **options: Any) -> Samples:
        """n samples; sample i of a seed is the same whatever else is made with it."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """The contents of model.json, less format and system."""

    @classmethod
    @abc.abstractmethod
    def build(cls, description: Mapping[str, Any]) -> "System":
        """A system with fresh weights. Raises ReverieError where the description is not one of ours."""

    @classmethod
    @abc.abstractmethod
    def shapes(cls, description: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """The tensors of the `network` that `build` would make, by name; allocates none. Raises ReverieError likewise."""

    if not TYPE_CHECKING:  # a checker would take any name

        def __getattr__(self, name):
            if not name.startswith("_") and name in System.verbs:
                return partial(System.verbs[name], self)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def attach(self, folder: Path) -> None:  # noqa: B027
        """Told where its run is, whose parts it may have beside its weights."""

    def store(self, folder: Path) -> None:  # noqa: B027
        """Writes its parts beside its weights into a run."""

    def save(self, folder: Path, **weights: Mapping[str, Tensor]) -> None:
        """Writes model.json and weights/NAME.safetensors, `ema` and `raw` say; without any, the network's own as ema."""
        folder = Path(folder)
        for name, tensors in (weights or {"ema": self.network.state_dict()}).items():
            save_tensors(folder / "weights" / f"{name}.safetensors", tensors)
        self.store(folder)
        write_json(folder / "model.json", {"format": FORMAT, "system": type(self).__name__, **self.describe()})


def load(run: str | Path, weights: str = "ema", average: float | None = None) -> System:
    """The system in a run folder, or of a model that ships with the package; with its averaged weights, or `raw` ones.

    `average` is the length of an average to reconstruct from the run's snapshots, as a share of training. Loading runs
    no code from the folder. Raises ReverieError where it holds none of our models.
    """
    return open_run(Path(run) if Path(run).is_dir() else shipped(str(run)), weights, average)


def open_run(folder: Path, weights: str = "ema", average: float | None = None) -> System:
    """`load` for a folder alone."""
    from .. import systems

    if folder.parent != MODELS:
        contained(folder)
    if not (folder / "model.json").is_file():
        raise ReverieError(f"{folder} is not a run: it holds no model.json. `reverie train DATA --out RUN` makes one.")
    description = read_object(folder / "model.json")
    if description.get("format") != FORMAT:
        raise ReverieError(f"{folder / 'model.json'} is not of format {FORMAT}: another version of reverie wrote it")
    name = description.pop("system", None)
    description.pop("format")
    cls = discover.lookup("system", systems, System, str(name))
    path = folder / "weights" / f"{weights}.safetensors"
    if average is None and not path.is_file():
        known = ", ".join(sorted(one.stem for one in (folder / "weights").glob("*.safetensors"))) or "none"
        raise ReverieError(f"{folder} has no weights called {weights!r}; it has: {known}")
    shapes = cls.shapes(description)
    if average is None:
        must_fit({key: one.shape for key, one in header(path).items()}, shapes, str(path), "the network of model.json")
    system = cls.build(description)
    system.attach(folder)
    if average is not None:
        from ..training.averages import reconstruct

        tensors = reconstruct(folder / "ema", average, shapes=shapes)
        kept = load_tensors(path) if tensors.keys() != shapes.keys() and path.is_file() else {}  # what was frozen
        fill(system.network, {**kept, **tensors}, str(folder / "ema"))
        system.about["weights"] = f"average of length {average:g}"
    else:
        fill(system.network, load_tensors(path), str(path))
        system.about["weights"] = weights
    system.weights_hash, system.average = hash_of(folder, weights, average), average
    return system


def hash_of(folder: Path, weights: str, average: float | None = None) -> str:
    """The `weights_hash` that a system loaded from there would have, empty where there are no such weights."""
    if average is None:
        path = folder / "weights" / f"{weights}.safetensors"
        return sha256(path) if path.is_file() else ""
    found = [f"{path.name} {sha256(path)}\n" for path in sorted((folder / "ema").glob("*.safetensors"))]
    return hashlib.sha256("".join(found).encode()).hexdigest() if found else ""


def shipped(name: str) -> Path:
    """The folder of a model that ships with the package."""
    from ..errors import unknown

    known = {path.name: path for path in sorted(MODELS.glob("*")) if (path / "model.json").is_file()}
    if Path(name).name != name or "/" in name:
        raise ReverieError(f"{name} is not a run: there is no such folder")
    if name not in known:
        raise unknown(
            "run", name, known, "A run is a folder that `reverie train` made, or the name of a shipped model."
        )
    return known[name]


Progress = Callable[[int, int], None]
"""Told how many of how many steps are done, those of each sample counted."""
