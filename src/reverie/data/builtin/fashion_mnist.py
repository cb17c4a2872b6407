"""Grey pictures of clothes, 28 x 28."""

from pathlib import Path

import torch

from ...errors import ReverieError
from ..base import Dataset, Report
from ..get import folder_of
from ..idx import read_idx
from .base import Builtin

SYSTEM = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package puts the files."""

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class FashionMNIST(Builtin):
    """60 000 grey pictures of clothes, 28 x 28, in 10 classes, and 10 000 held out.

    Xiao et al. 2017, https://arxiv.org/abs/1708.07747
    """

    def load(self) -> Dataset:
        fetched = folder_of("fashion_mnist")
        folder = next((one for one in (fetched, SYSTEM) if one.is_dir()), None)
        if folder is None:
            raise ReverieError("the data set fashion_mnist is not on this machine yet: reverie data get fashion_mnist")
        train = _part(folder, "train", 60_000)
        train.test = _part(folder, "t10k", 10_000)
        return train


def _part(folder: Path, part: str, n: int) -> Dataset:
    pictures = read_idx(folder / f"{part}-images-idx3-ubyte.gz", (n, 28, 28))
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", (n,))
    return Dataset(
        name="fashion_mnist",
        raw=torch.from_numpy(pictures)[:, None],
        values={"label": torch.from_numpy(labels).to(torch.int64)},
        classes=CLASSES,
        licence="MIT, Zalando SE 2017",
        source=f"Fashion-MNIST, {part}",
        report=Report(found=n, used=n, sizes={"28x28": n}),
    )
