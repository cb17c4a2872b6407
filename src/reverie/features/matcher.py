"""How well pictures go with what is said of them, by a small network of pictures beside a sentence encoder."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ReverieError
from ..files import fill
from .base import read_weights, signed
from .classifier import Network

WEIGHTS = Path(__file__).with_name("weights") / "emoji_matcher.safetensors"
TEXT = 384
"""Numbers that the sentence encoder, MiniLM, makes of a text."""


class Matcher(nn.Module):
    """s(x, v) = cos(f(x), W v), for pictures x (B, 3, H, W) and vectors v (T, 384) that MiniLM makes of texts.

    Trained so that of many texts a picture's own is the nearest, and of many pictures a text's own: Radford et al. 2021,
    https://arxiv.org/abs/2103.00020. The weights that ship know emoji of Twitter's style at 32 x 32; see `weights/README.md`.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        path = path or WEIGHTS
        if not path.is_file():
            raise ReverieError(f"there are no weights of a matcher in {path}: the recipe `matcher` makes some")
        tensors, self.hash = read_weights(path)
        image = {name.removeprefix("image."): one for name, one in tensors.items() if name.startswith("image.")}
        self.image = Network.of(image, str(path))
        self.text = nn.Linear(TEXT, self.image.head.out_features, bias=False)
        fill(self, tensors, str(path))
        self.eval().requires_grad_(False)

    def pictures(self, raw: Tensor, batch: int = 64) -> Tensor:
        """(B, D) of length 1, of uint8 or floats in [-1, 1]."""
        return torch.cat([F.normalize(self.image(signed(part)), dim=1) for part in raw.split(batch)])

    def texts(self, vectors: Tensor) -> Tensor:
        """(T, D) of length 1."""
        return F.normalize(self.text(vectors.float()), dim=1)
