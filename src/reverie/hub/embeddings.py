"""Words learned by textual inversion, in files of ours and of other tools.

{"<my cat>": (n, D) or (D,)}           diffusers and ours, of a model of one text encoder
{"clip_l": (n, D), "clip_g": (n, E)}   of one with two, in their order
{"emb_params": (n, D)}                 of other tools, which name the word by the file
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..conditioning import words
from ..conditioning.encoders import PARTS, frozen, identity
from ..conditioning.text import Text
from ..errors import ReverieError, printable
from ..files import load_tensors
from ..systems.diffusion import Diffusion

PLACES = ("clip_l", "clip_g", "t5", "fourth")
"""What files of several encoders call the vectors of each."""


def read_word(path: Path, system: Diffusion, name: str | None = None) -> tuple[str, dict[int, Tensor]]:
    """The word in a file, and its vectors for each of the system's text encoders that it is for. Raises ReverieError."""
    conditioner = system.conditioner
    if not isinstance(conditioner, Text):
        raise ReverieError("this model reads no text, so there is no word to teach it")
    if path.suffix in (".bin", ".pt", ".pth"):
        raise ReverieError(
            f"{path} is a pickle, which can run code when it is opened, and is not: it takes safetensors"
        )
    tensors = load_tensors(path)
    if set(tensors) <= set(PLACES) and tensors:
        found = {PLACES.index(key): one for key, one in tensors.items()}
    elif len(tensors) == 1:
        (key, one), *_ = tensors.items()
        name, found = name or (None if key == "emb_params" else key), {0: one}
    else:
        raise ReverieError(f"{path} holds {len(tensors)} tensors, and a word has one for each text encoder")
    if name is None:
        raise ReverieError(f"{path} does not say the word: give --name '<my cat>'")
    word = words.named(name)
    if max(found) >= len(conditioner.encoders):
        raise ReverieError(f"{path} is of a model of more text encoders than the {len(conditioner.encoders)} here")
    for i, one in found.items():
        folder, tokenizer = conditioner.place(conditioner.encoders[i])
        network, _ = frozen(conditioner.encoders[i].network, folder, tokenizer)
        found[i] = words.checked(printable(word), one, network.get_input_embeddings().weight.shape[1])
    return word, found


def learned(system: Diffusion, word: str, vectors: Mapping[int, Tensor], out: Path) -> None:
    """Writes a run whose text encoders know a word. Raises ReverieError where one of them knows it already."""
    conditioner = system.conditioner
    assert isinstance(conditioner, Text)
    encoders, places = list(conditioner.encoders), {}
    for i, encoder in enumerate(encoders):
        place = conditioner.place(encoder)
        if i in vectors:
            words.write(encoder.network, place, {word: vectors[i]}, out / PARTS / encoder.folder)
            place = (out / PARTS / encoder.folder,) * 2
            encoders[i] = replace(encoder, sha256=identity(place[0]))
        places[encoder.folder] = place
    system.conditioner = replace(conditioner, encoders=tuple(encoders)).at(places)
    system.save(out)
