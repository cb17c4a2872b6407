"""How well pictures go with their prompts, in the eyes of a CLIP that is on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning.encoders import frozen
from ..errors import ReverieError
from ..reading import read_object
from .base import Metric, Population

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained on, unless preprocessor_config.json says others."""


@dataclass(frozen=True)
class CLIPScore(Metric):
    """The mean of 100 max(0, cos(f(x), g(prompt))), f and g a CLIP in a folder of transformers' layout: config.json,
    model.safetensors and a tokenizer. Of real pictures with their captions beside it.

    Hessel et al. 2021, https://arxiv.org/abs/2104.08718, without its factor of 2.5 on the cosine; figures of two CLIPs do not
    compare.
    """

    folder: str = ""
    batch: int = 32
    better = "higher"
    unit = "100 cos"
    needs = ("prompts",)

    @classmethod
    def variants(cls) -> "tuple[CLIPScore, ...]":
        """None: it depends on a network that is not here."""
        return ()

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        if not self.folder:
            raise ReverieError("CLIPScore needs a CLIP on this machine: --metric \"clipscore(folder='PLACE')\"")
        network, tokenizer = frozen("CLIPModel", Path(self.folder), Path(self.folder))
        found = {}
        for side, name in ((samples, "clip_score"), (reference, "clip_score_of_real")):
            raw = side.need("raw", "CLIPScore")
            if len(side.prompts) != len(raw):
                raise ReverieError("CLIPScore needs the prompt of every sample: a model that reads text")
            each = torch.cat([
                self.scores(network, tokenizer, raw[i : i + self.batch], side.prompts[i : i + self.batch])
                for i in range(0, len(raw), self.batch)
            ])  # fmt: skip
            found[name] = each.mean().item()
            found[f"{name}_error"] = (each.std() / len(each) ** 0.5).item() if len(each) > 1 else 0.0
        return found

    @torch.no_grad()
    def scores(self, network: Any, tokenizer: Any, raw: Tensor, prompts: tuple[str, ...]) -> Tensor:
        """(B,)"""
        longest = network.config.text_config.max_position_embeddings
        told = tokenizer(list(prompts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        out = network(pixel_values=self.prepared(raw, network.config.vision_config.image_size), **told)
        return (
            100
            * (F.normalize(out.image_embeds, dim=1) * F.normalize(out.text_embeds, dim=1)).sum(1).clamp(min=0).double()
        )

    def prepared(self, raw: Tensor, side: int) -> Tensor:
        """uint8 (B, 1 or 3, H, W) -> (B, 3, side, side): the shorter side brought to that by bicubic, the middle, normed."""
        from PIL import Image

        path = Path(self.folder) / "preprocessor_config.json"
        told = read_object(path) if path.is_file() else {}
        mean, std = (torch.tensor(told.get(f"image_{name}", usual)).reshape(3, 1, 1)
                     for name, usual in (("mean", MEAN), ("std", STD)))  # fmt: skip
        rows = []
        for one in raw.expand(-1, 3, -1, -1):
            picture = Image.fromarray(one.permute(1, 2, 0).contiguous().numpy())
            scale = side / min(picture.size)
            size = tuple(max(side, int(n * scale)) for n in picture.size)
            picture = picture.resize(size, Image.Resampling.BICUBIC)  # type: ignore[arg-type]
            left, top = ((n - side) // 2 for n in size)
            cut = np.asarray(picture.crop((left, top, left + side, top + side)))
            rows.append((torch.from_numpy(cut.copy()).permute(2, 0, 1) / 255 - mean) / std)
        return torch.stack(rows)
