"""What a pipeline of another tool is here."""

import abc
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ..codecs.base import Codec
from ..conditioning.base import Conditioner
from ..errors import ReverieError, printable
from ..modalities.images import Images
from ..nn.base import Backbone
from ..reading import read_bytes
from ..systems.base import System
from ..systems.bounds import check_grid, modest
from ..systems.described import Defaults
from ..systems.diffusion import Diffusion
from .folders import Folder, Part
from .schedulers import Scheduled

CARD = 2**20
"""Bytes of a model card."""


class Pipeline(abc.ABC):
    """A pipeline of diffusers that is read here, under each of its `names`."""

    names: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def system(self, folder: Folder) -> System:
        """Raises ReverieError for what is not done here, by name."""


def licence(folder: Path) -> str:
    """What the model card beside it states, empty where there is none."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    found = re.match(r"---\n(?:.*\n)*?license: *([\w .+-]{1,60})\n", read_bytes(card, CARD).decode(errors="replace"))
    return found[1].strip() if found else ""


def size_of(part: Part, usual: int | None = None) -> list[int]:
    """Height and width that a network was made for. Raises ReverieError where its `sample_size` is none."""
    given = part.config.get("sample_size") or usual
    size = [given, given] if type(given) is int else given
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int and 0 < n < 2**14 for n in size):
        raise ReverieError(f"{part.folder}: sample_size={printable(str(given)[:40])}, which is no height and width")
    return size


def assembled(
    folder: Folder, network: Backbone, scheduled: Scheduled, codec: Codec, conditioner: Conditioner, shape: Sequence[int],
    scale: float = 1.0, kind: type[Diffusion] = Diffusion,
) -> Diffusion:  # fmt: skip
    """The system of parts that were read. Raises ReverieError where they ask for more than any sample needs."""
    for what, part in (("schedule", scheduled.schedule), ("sampler", scheduled.sampler), ("grid", scheduled.grid)):
        modest(f"{folder.path}: its {what}", part)
    check_grid(scheduled.grid, scheduled.schedule)
    defaults = Defaults(scheduled.sampler, scheduled.grid, scale, guidance=scheduled.guidance, start=scheduled.start)
    about = {"name": folder.path.absolute().name, "licence": licence(folder.path),
             "source": f"imported, {folder.pipeline} of diffusers"}  # fmt: skip
    return kind(network, scheduled.schedule, scheduled.parameterization, scheduled.noise_input, codec, conditioner,
                Images(), shape, defaults, about)  # fmt: skip
