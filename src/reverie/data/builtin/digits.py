"""Handwritten digits, 8 x 8."""

import torch

from ...discover import install_command
from ...errors import MissingDependency
from ..base import Dataset, Report
from .base import Builtin


class Digits(Builtin):
    """1797 handwritten digits of 13 people, grey, 8 x 8, in 10 classes: 1497 to train with and 300 held out.

    The grey levels 0 to 16 become round(255 v / 16). Alpaydin & Kaynak 1998, https://doi.org/10.24432/C50P49
    """

    def load(self) -> Dataset:
        try:
            from sklearn.datasets import load_digits
        except ModuleNotFoundError:
            raise MissingDependency(
                f"the data set digits comes with scikit-learn: {install_command('sklearn')}"
            ) from None
        found = load_digits()
        levels = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)
        n = len(levels)
        whole = Dataset(
            name="digits",
            raw=levels[:, None].contiguous(),
            values={"label": torch.from_numpy(found.target).to(torch.int64)},
            classes=tuple("0123456789"),
            licence="CC BY 4.0 (UCI), shipped with scikit-learn under BSD-3-Clause",
            source="UCI Optical Recognition of Handwritten Digits, test part, from scikit-learn's load_digits",
            report=Report(found=n, used=n, sizes={"8x8": n}),
        )
        train, whole.test = whole.split(300, seed=0)
        train.test = whole.test
        return train
