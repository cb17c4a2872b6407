"""Frozen text networks of transformers: prompts to sequences of vectors. Read from a folder; no hub is asked, no code run."""

import hashlib
import math
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..discover import install_command
from ..errors import MissingDependency, ReverieError, ReverieWarning
from ..files import cache_folder, sha256
from ..headers import header
from ..reading import read_object
from .words import spelled

NETWORKS = ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel", "BertModel")
"""Classes of transformers that are known to be text encoders and nothing else."""
INDEX = "model.safetensors.index.json"
KEPT = (
    "config.json", "model.safetensors", INDEX, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",
    "merges.txt", "vocab.txt", "spiece.model", "tokenizer.model", "added_tokens.json",
)  # fmt: skip
"""Files of an encoder's folder that are used."""
SIZES = (
    ("hidden_size", "d_model", "projection_dim"), ("num_hidden_layers", "num_layers"),
    ("vocab_size", "max_position_embeddings", "type_vocab_size"), ("intermediate_size", "d_ff", "d_kv", "num_heads"),
)  # fmt: skip
"""What the networks call their width, depth, words and the width inside a layer."""
PARTS = "parts"
"""Where a run keeps what its network is not."""


class Said(NamedTuple):
    """What an encoder makes of n texts: a vector for each token, which tokens count, and one vector for the whole."""

    tokens: Tensor
    mask: Tensor
    pooled: Tensor | None

    def each(self, do: Callable[[Tensor], Tensor]) -> "Said":
        return Said(do(self.tokens), do(self.mask), None if self.pooled is None else do(self.pooled))


@dataclass(frozen=True)
class Encoder:
    """A text network: `network` is its class in transformers, `folder` the name of the run's part that holds it, or of a
    package of `reverie data get`.

    Texts are cut or padded to `length` tokens. `layer` -1 is what the network returns, -2 its last hidden layer but one.
    `sha256` is that of its weights, which are used only if they are the same ("" takes any).
    """

    network: str = "BertModel"
    folder: str = "minilm"
    length: int = 32
    layer: int = -1
    sha256: str = ""
    padding: bool = False
    """Whether what fills a text up to `length` is attended to, as Stable Diffusion 3's T5 does; CLIP always does."""

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"text encoders are {', '.join(NETWORKS)}, not {self.network!r}")
        if not self.folder.replace("_", "").isalnum() or not 2 <= self.length <= 4096 or not -64 <= self.layer <= -1:
            raise ValueError(f"{self} is no text encoder: a name, 2 to 4096 tokens, a layer counted from the last")

    def place(self, run: Path | None) -> Path:
        """Where it is: a part of the run, else of the user's cache. Raises ReverieError where it is in neither."""
        for folder in ([run / PARTS / self.folder] if run else []) + [cache_folder("data", self.folder)]:
            if (folder / "config.json").is_file():
                return folder
        raise ReverieError(f"the text encoder {self.folder} is not here: reverie data get {self.folder}")

    def __call__(self, texts: Sequence[str], network: Path, tokenizer: Path) -> Said:
        """Of its folder, and that of its tokenizer where it has one of its own.

        Raises ReverieError where the network is not there or is another one, MissingDependency without transformers.
        """
        loaded = self.loaded(network, tokenizer)
        loaded.tell(texts)
        return loaded.said(list(texts))

    def loaded(self, network: Path, tokenizer: Path) -> "Loaded":
        """Of its folder, and that of its tokenizer; raises likewise."""
        return _loaded(self, network.resolve(), tokenizer.resolve())


def copied(sources: Iterable[Path], target: Path) -> None:
    """Puts the files of a network and of its tokenizer into one folder."""
    target.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shards = [path.name for path in weights(source)] if (source / INDEX).is_file() else []
        for name in (*KEPT, *shards):
            if (source / name).is_file() and not (target / name).exists():
                shutil.copyfile(source / name, target / name)


def weights(folder: Path) -> list[Path]:
    """The files of a network's weights, one or those that an index names. Raises ReverieError where they are not all there."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if not (folder / INDEX).is_file():
        raise ReverieError(f"{folder} is not whole: it holds no model.safetensors")
    listed = read_object(folder / INDEX).get("weight_map")
    names = sorted(set(listed.values())) if isinstance(listed, dict) and all(
        isinstance(one, str) and re.fullmatch(r"[\w.-]+\.safetensors", one) for one in listed.values()
    ) else []  # fmt: skip
    if not names:
        raise ReverieError(f"{folder / INDEX} is damaged: weight_map does not name a file beside it for every tensor")
    if lacking := [name for name in names if not (folder / name).is_file()]:
        raise ReverieError(f"{folder} is not whole: {lacking[0]}, which {INDEX} lists, is missing")
    return [folder / name for name in names]


def identity(folder: Path) -> str:
    """sha256 of a network's weights; of several files that of their names and hashes."""
    files = weights(folder)
    if len(files) == 1:
        return sha256(files[0])
    return hashlib.sha256("".join(f"{path.name} {sha256(path)}\n" for path in files).encode()).hexdigest()


class Loaded:
    """The network and its tokenizer in memory."""

    def __init__(self, encoder: Encoder, tokenizer: Any, network: Any) -> None:
        self.encoder, self.tokenizer, self.network = encoder, tokenizer, network

    def said(self, texts: list[str]) -> Said:
        with torch.no_grad():
            return self.read(texts)

    def tell(self, texts: Sequence[str]) -> None:
        """Says what is left out of texts that are too long, once for all of them."""
        length, whole = self.encoder.length, self.tokenizer(self.spelled(texts))["input_ids"] if texts else []
        if long := [(text, ids) for text, ids in zip(texts, whole) if len(ids) > length]:
            text, ids = long[0]
            lost, others = self.tokenizer.decode(ids[length - 1 : -1]).strip(), f", and {len(long) - 1} more prompts"
            warnings.warn(f"a prompt has {len(ids)} tokens, of which this encoder reads {length}; left out: {lost[:120]!r} of "
                          f"{text[:40]!r}...{others if len(long) > 1 else ''}", ReverieWarning, stacklevel=4)  # fmt: skip

    def spelled(self, texts: Sequence[str]) -> list[str]:
        return [spelled(text, self.tokenizer.added_tokens_encoder) for text in texts]

    def read(self, texts: list[str]) -> Said:
        """The same, differentiable by what the network is made of."""
        length, texts = self.encoder.length, self.spelled(texts)
        told = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        ids, mask = told["input_ids"], told["attention_mask"].bool()
        clip = self.encoder.network.startswith("CLIP")
        masked = not clip and not self.encoder.padding
        found = self.network(input_ids=ids, **({"attention_mask": mask} if masked else {}), output_hidden_states=True)
        tokens = found.last_hidden_state if self.encoder.layer == -1 else found.hidden_states[self.encoder.layer]
        pooled = getattr(found, "text_embeds", None)
        pooled = getattr(found, "pooler_output", None) if pooled is None and clip else pooled
        if self.encoder.network == "BertModel":  # a sentence is the mean of its tokens, here of unit size in each entry
            pooled = F.normalize((tokens * mask[..., None]).sum(1), dim=1) * tokens.shape[2] ** 0.5
        return Said(tokens.float(), mask, None if pooled is None else pooled.float())


def modest(path: Path, numbers: int) -> None:
    """Raises ReverieError where a configuration asks for a network far larger than the numbers that its weights hold."""
    config = read_object(path, endless=True)
    config = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    sizes = [[config[name] for name in names if type(config.get(name)) is int] for names in SIZES]
    width, depth, words, inside = (max([*found, 1]) for found in sizes)
    if min(width, depth, words, inside) < 1 or words * width + depth * width * (width + inside) > 8 * max(numbers, 1):
        raise ReverieError(f"{path} describes a network that is larger than its weights: it is not made")


@lru_cache(maxsize=4)
def _loaded(encoder: Encoder, folder: Path, words: Path) -> Loaded:
    files = weights(folder)
    if encoder.sha256 and identity(folder) != encoder.sha256:
        raise ReverieError(f"{files[0]} is another text encoder than the one that this model was trained with: its sha256 is "
                           f"not {encoder.sha256[:16]}...")  # fmt: skip
    network, tokenizer = frozen(encoder.network, folder, words)
    most = getattr(network.config, "max_position_embeddings", None)
    if isinstance(most, int) and encoder.length > most:
        raise ReverieError(f"{folder} reads up to {most} tokens, and {encoder.length} are asked for")
    return Loaded(encoder, tokenizer, network)


def frozen(kind: str, folder: Path, words: Path) -> tuple[Any, Any]:
    """A network of a class of transformers in float32, and the tokenizer of its own folder or of another: safetensors alone, no
    code of theirs, no hub. Raises ReverieError where they are none, MissingDependency without transformers.
    """
    try:
        import transformers
    except ModuleNotFoundError:
        raise MissingDependency(f"text encoders come with transformers: {install_command('transformers')}") from None
    if not (folder / "config.json").is_file():
        raise ReverieError(f"{folder} holds no network of transformers: config.json is missing")
    numbers = sum(math.prod(one.shape) for path in weights(folder) for one in header(path).values())
    for path in (folder / "config.json", folder / "tokenizer_config.json", words / "tokenizer_config.json"):
        if path.is_file() and "auto_map" in read_object(path, endless=True):
            raise ReverieError(f"{path} asks for code of its own (auto_map): it is not run")
    modest(folder / "config.json", numbers)
    asked: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    told = asked | {"use_safetensors": True, "output_loading_info": True, "dtype": torch.float32}
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        network, report = getattr(transformers, kind).from_pretrained(folder, **told)
        tokenizer = transformers.AutoTokenizer.from_pretrained(words, **asked)
    except Exception as error:  # of whatever kind transformers raises: its own are many
        raise ReverieError(f"{folder} is not a text encoder of the kind {kind}: {str(error)[:300]}") from None
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()
    faults = [*report.get("missing_keys", ()), *report.get("mismatched_keys", ())]
    if faults:
        raise ReverieError(
            f"{folder} does not fit {kind}: missing or misshapen are {', '.join(map(str, faults))[:300]}"
        )
    return network.eval().requires_grad_(False), tokenizer
