"""A folder in diffusers' layout: which parts it has, what each says of itself, and its tensors, none of them code.

DIR/model_index.json           {"_class_name": pipeline, part: [library, class], ...}
DIR/PART/config.json           {"_class_name": class, setting: value, ...}; of a scheduler scheduler_config.json
DIR/PART/diffusion_pytorch_model.safetensors, or *.safetensors.index.json, {"weight_map": {tensor: file}}
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ReverieError, printable
from ..files import load_tensors
from ..headers import Stated, header
from ..reading import contained, read_object

WEIGHTS = ("diffusion_pytorch_model", "model")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.msgpack", "*.h5")
LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
"""The last is what diffusers calls the part of itself that its safety checkers come from."""
VARIANTS = ("", ".fp16", ".bf16", ".non_ema")
"""Of a part's weights, in the order in which they are taken where there are several."""


@dataclass(frozen=True)
class Part:
    """One of a pipeline's parts: its folder, the library and the class that made it, and its settings."""

    name: str
    folder: Path
    made_by: str
    config: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The name of its class."""
        return str(self.config.get("_class_name", ""))

    def files(self) -> dict[str, Path]:
        """The file of every tensor, by name. Raises ReverieError where there are no safetensors, or not all of them."""
        for stem in WEIGHTS:
            for variant in VARIANTS:
                whole = self.folder / f"{stem}{variant}.safetensors"
                if whole.is_file():
                    return dict.fromkeys(header(whole), whole)
                index = self.folder / f"{stem}.safetensors.index{variant}.json"
                if index.is_file():
                    return self.shards(index)
        pickles = sorted(path.name for pattern in PICKLES for path in self.folder.glob(pattern))
        if pickles:
            raise ReverieError(
                f"{self.folder} holds its weights as {printable(pickles[0])} alone, which can run code when it is opened, "
                "and is not: save the model with safe_serialization=True where it came from"
            )
        raise ReverieError(f"{self.folder} holds no weights: {WEIGHTS[0]}.safetensors is missing")

    def shards(self, index: Path) -> dict[str, Path]:
        listed = read_object(index).get("weight_map")
        if not isinstance(listed, dict) or not all(
            isinstance(file, str) and re.fullmatch(r"[\w.-]+\.safetensors", file) for file in listed.values()
        ):
            raise ReverieError(f"{index} is damaged: weight_map does not name a file beside it for every tensor")
        found: dict[str, Path] = {}
        for file in sorted(set(listed.values())):
            path = self.folder / file
            if not path.is_file():
                raise ReverieError(f"{self.folder} is not whole: {file}, which {index.name} lists, is missing")
            own, told = set(header(path)), {name for name, place in listed.items() if place == file}
            if own != told:
                odd = printable(sorted(own ^ told)[0])
                raise ReverieError(f"{index} is damaged: {file} and what is listed of it differ, in {odd[:160]}")
            found |= dict.fromkeys(own, path)
        return found

    def stated(self) -> dict[str, Stated]:
        """Type and shape of every tensor, none of them read."""
        files = self.files()
        return {name: one for path in sorted(set(files.values())) for name, one in header(path).items()}

    def tensors(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for path in sorted(set(self.files().values())):
            found |= load_tensors(path)
        return found


@dataclass(frozen=True)
class Folder:
    """A pipeline: the name of its class, its settings, and its parts."""

    path: Path
    pipeline: str
    settings: Mapping[str, Any]
    parts: Mapping[str, Part]

    def part(self, name: str, kinds: Iterable[str]) -> Part:
        """The part of that name. Raises ReverieError where there is none, or it is of another class than these."""
        if name not in self.parts:
            raise ReverieError(f"{self.path} has no {name}, which {self.pipeline} needs")
        part, kinds = self.parts[name], list(kinds)
        if part.kind not in kinds:
            raise ReverieError(
                f"{self.path}: its {name} is of class {printable(part.kind[:80])!r}, which is not one that is read here: "
                f"{', '.join(kinds)}"
            )
        return part


def read_folder(path: Path) -> Folder:
    """What a folder in diffusers' layout says of itself. Runs no code of it, and reads nothing outside it.

    Raises ReverieError where it is none, where a part comes from elsewhere than diffusers and transformers, and where links
    lead out.
    """
    path = Path(path)
    if not (path / "model_index.json").is_file():
        raise ReverieError(f"{path} is not a folder of diffusers: it holds no model_index.json")
    contained(path)
    index = read_object(path / "model_index.json")
    pipeline = index.get("_class_name")
    if isinstance(pipeline, list):
        raise ReverieError(f"{path} asks for code of its own, {printable(str(pipeline)[:80])}: it is not run")
    if not isinstance(pipeline, str):
        raise ReverieError(f"{path / 'model_index.json'} names no pipeline")
    parts, settings = {}, {}
    for name, value in index.items():
        if name.startswith("_"):
            continue
        if not isinstance(value, list):
            settings[name] = value
            continue
        if value == [None, None]:
            continue
        if len(value) != 2 or not all(isinstance(word, str) for word in value) or value[0] not in LIBRARIES:
            raise ReverieError(
                f"{path}: its part {printable(name[:80])} is {printable(str(value)[:80])}, which is neither of "
                f"{' nor of '.join(LIBRARIES)}: code from elsewhere is not run"
            )
        parts[name] = read_part(path, name, *value)
    return Folder(path, pipeline, settings, parts)


def read_part(path: Path, name: str, library: str, kind: str) -> Part:
    if not re.fullmatch(r"\w+", name):
        raise ReverieError(f"{path}: no part of a pipeline is called {printable(name[:80])!r}")
    folder = path / name
    if not folder.is_dir():
        raise ReverieError(f"{path} is not whole: the folder {name}, which model_index.json lists, is missing")
    config: dict[str, Any] = {}
    for file in ("config.json", "scheduler_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        if (folder / file).is_file():
            config = read_object(folder / file, endless=True)  # diffusers writes lambda_min_clipped=-Infinity
            break
    if "auto_map" in config:
        raise ReverieError(f"{folder} asks for code of its own (auto_map): it is not run")
    if library == "transformers":
        config["_class_name"] = kind  # theirs says architectures, of which a class may be a part
    told = config.setdefault("_class_name", kind)
    if told != kind:
        raise ReverieError(f"{path}: {name} is a {kind[:80]} in model_index.json and says of itself {str(told)[:80]}")
    return Part(name, folder, library, config)
