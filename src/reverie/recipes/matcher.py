"""The small network that judges whether emoji are what was asked for."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..conditioning.encoders import Encoder
from ..data.builtin import emoji
from ..data.stored import held
from ..features.base import signed
from ..features.classifier import Network
from ..features.fitting import shifted
from ..features.matcher import TEXT, WEIGHTS
from ..files import save_tensors
from ..metrics.base import Population
from ..metrics.retrieval import READER, Retrieval, read

WIDTHS, WIDTH = (32, 64, 128), 128


def measured(style: str = "google", most: int = 1000) -> dict[str, dict[str, float]]:
    """R-precision of the matcher that ships on real pictures of a style, under their labels: of the concepts that recipes train
    on, `most` of them evenly chosen, and of those held out.
    """
    whole = emoji.pictures(style, 32, tagged=False)
    assert whole.test is not None
    found = {}
    for name, part in (("train", whole), ("held out", whole.test)):
        n = min(len(part), most)
        rows = torch.arange(n) * len(part) // n
        real = Population(raw=held(part.raw)[rows], prompts=tuple(part.captions[i] for i in rows.tolist()))
        found[name] = Retrieval().measure(real, real)
    return found


def matcher(
    out: Path = WEIGHTS, style: str = "twitter", epochs: int = 24, batch: int = 128, rate: float = 2e-3, seed: int = 0
) -> dict[str, Any]:
    """Trains a matcher on the emoji of a style, all concepts, and writes it in float16. Returns the last loss. Prints a line an
    epoch.

        L = (H(softmax_j s(x_i, v_j) / T) + H(softmax_i s(x_i, v_j) / T)) / 2,    1 / T learned

    A text that two pictures of a batch have counts as both's.
    """
    data = emoji.pictures(style, 32)
    assert data.test is not None
    raw = torch.cat([held(data.raw), held(data.test.raw)])
    captions = [*data.captions, *data.test.captions]
    reader: Encoder = READER
    folder, known = reader.place(None), sorted(set(captions))
    vectors = torch.cat([read(known[i : i + 64], folder) for i in range(0, len(known), 64)])
    place = {text: i for i, text in enumerate(known)}
    own = torch.tensor([place[text] for text in captions])
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image, text = Network(3, WIDTHS, WIDTH, norm=True), nn.Linear(TEXT, WIDTH, bias=False)
    scale = nn.Parameter(torch.tensor(2.3))
    parameters = [*image.parameters(), *text.parameters(), scale]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05, betas=(0.9, 0.99))
    steps, last = len(raw) // batch, 0.0
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * steps)
    for epoch in range(1, epochs + 1):
        image.train()
        total = 0.0
        for index in torch.randperm(len(raw), generator=generator)[: steps * batch].split(batch):
            f = F.normalize(image(shifted(signed(raw[index]), 2, generator)), dim=1)
            g = F.normalize(text(vectors[own[index]]), dim=1)
            same = (own[index][:, None] == own[index][None]).float()
            logits, target = scale.exp().clamp(max=100) * f @ g.T, same / same.sum(1, keepdim=True)
            loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pace.step()
            total += loss.item()
        last = total / steps
        print(f"epoch {epoch}: loss {last:.4f}", flush=True)
    image.eval()
    tensors = {f"image.{name}": one for name, one in image.folded().items()} | {"text.weight": text.weight.detach()}
    recipe = {"style": style, "epochs": epochs, "batch": batch, "rate": rate, "seed": seed}
    save_tensors(Path(out), {name: one.half() for name, one in tensors.items()}, {"recipe": json.dumps(recipe)})
    return {"loss": last, "torch": torch.__version__, **recipe}
