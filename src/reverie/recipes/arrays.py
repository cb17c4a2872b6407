"""Arrays of numbers."""

from dataclasses import dataclass
from pathlib import Path

from ..data.check import Check
from ..errors import ReverieError
from ..modalities.arrays import Arrays as Modality
from .base import option
from .generation import Generation


@dataclass(frozen=True)
class Arrays(Generation):
    """Your own array (N, C, ...) of one to three axes: signals, fields, volumes; .npy, .npz, a folder of .npy or TIFF."""

    data: str = ""
    minutes: float | None = option(
        10.0, "train for about this long; the samples it amounts to are measured at the start"
    )
    size: int | None = option(None, "of a folder of pictures: pixels of a side")
    axes: int | None = option(None, "after the channels, where that is not clear: 2 for pictures, 3 for volumes")
    sampler: str = option("dpmpp_2m_sde", "when sampling, unless another is asked for; `reverie samplers` lists them")
    sample_steps: int = option(25, "when sampling, unless another number is asked for")
    self_guidance: float = option(
        2.0, "scale of guidance away from the model's own early self, of samples without conditions; 1 is none"
    )
    strict: bool = option(False, "refuse data of which anything is skipped or doubtful")

    def dataset(self):
        if not Path(self.data).exists():
            raise ReverieError(f"{self.data or 'no file'} does not exist: reverie train FILE.npy")
        data = Modality().load(Path(self.data), axes=self.axes, size=self.size)
        if self.strict:
            Check(data).require_clean()
        return data
