"""Arrays of numbers."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import ReverieError
from ..modalities.arrays import Arrays as Modality
from .base import option
from .generation import Generation


@dataclass(frozen=True)
class Arrays(Generation):
    """Your own array (N, C, ...) of one to three axes: signals, fields, volumes; .npy, .npz or a folder of .npy."""

    data: str = ""
    minutes: float | None = option(
        10.0, "train for about this long; the samples it amounts to are measured at the start"
    )

    def dataset(self):
        if not Path(self.data).exists():
            raise ReverieError(f"{self.data or 'no file'} does not exist: reverie train FILE.npy")
        return Modality().load(Path(self.data))
