"""A folder of pictures."""

from dataclasses import dataclass
from pathlib import Path

from ..data.check import Check
from ..errors import ReverieError
from ..modalities.images import Images
from .base import option
from .generation import Generation


@dataclass(frozen=True)
class Folder(Generation):
    """Your own folder of pictures; subfolders, where there are any, are classes."""

    data: str = ""
    minutes: float | None = option(
        10.0, "train for about this long; the samples it amounts to are measured at the start"
    )
    size: int | None = option(None, "pixels of a side; chosen by the pictures")
    strict: bool = option(False, "refuse a folder of which anything is skipped or doubtful")

    def dataset(self):
        if not Path(self.data).is_dir():
            raise ReverieError(f"{self.data or 'no folder'} is not a folder of pictures: reverie train FOLDER")
        data = Images().load(Path(self.data), **({"size": self.size} if self.size else {}))
        if self.strict:
            Check(data).require_clean()
        return data
