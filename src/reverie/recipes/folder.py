"""A folder of pictures, or archives and tables of them."""

from dataclasses import dataclass

from ..data.check import Check
from .base import option
from .generation import Generation
from .opening import folder_of_pictures


@dataclass(frozen=True)
class Folder(Generation):
    """Your own folder of pictures; subfolders, where there are any, are classes. Shards too: 'shards/*.tar', .parquet, .arrow."""

    data: str = ""
    minutes: float | None = option(
        10.0, "train for about this long; the samples it amounts to are measured at the start"
    )
    size: int | None = option(None, "pixels of a side; chosen by the pictures")
    sampler: str = option("dpmpp_2m_sde", "when sampling, unless another is asked for; `reverie samplers` lists them")
    sample_steps: int = option(25, "when sampling, unless another number is asked for")
    self_guidance: float = option(
        2.0, "scale of guidance away from the model's own early self, of samples without conditions; 1 is none"
    )
    strict: bool = option(False, "refuse a folder of which anything is skipped or doubtful")
    codec: str = option("", "a run of `reverie train autoencoder`, in whose latents the model learns")

    def dataset(self):
        data = folder_of_pictures(self.data, self.size)
        if self.strict:
            Check(data).require_clean()
        return data
