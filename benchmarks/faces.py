"""How well a model of drawn faces does what captions say: python -m benchmarks.faces RUN --name pixels

A classifier of the six attributes learns 6000 faces drawn anew, 2000 of them with pairs of attributes that are kept from
training; its own accuracy on the 400 faces held out stands beside. Asked are 400 captions drawn anew without such a pair, and
those of the 400 held out, which have one at least. Agreement is the share of attributes (of all, of those two of a pair kept
apart, of all six at once) that the classifier finds as they were asked for. Writes its part of docs/faces.json, and
docs/images/faces_NAME.png.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from reverie.data.builtin import faces
from reverie.data.stored import held
from reverie.features.base import signed
from reverie.features.classifier import Network
from reverie.features.fitting import shifted
from reverie.modalities.grids import write_picture
from reverie.systems.base import load

from .emoji import small

PAGE, PICTURES = Path("docs/faces.json"), Path("docs/images")
NAMES = list(faces.ATTRIBUTES)
COUNTS = [len(known) for known in faces.ATTRIBUTES.values()]
EPOCHS, BATCH, RATE, SEED = 12, 64, 0.05, 100
SHOWN = 8


def values(told: list[dict[str, str]]) -> Tensor:
    """(N, 6), which value of each attribute."""
    return torch.tensor([[list(faces.ATTRIBUTES[name]).index(face[name]) for name in NAMES] for face in told])


def judge() -> Network:
    """The classifier: one output a value, six softmaxes."""
    told = [*faces.chosen(4000, SEED, apart=False), *faces.chosen(2000, SEED + 1, apart=True)]
    x, y = small(faces.cached(told)), values(told)
    generator = torch.Generator().manual_seed(SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = Network(3, (32, 64, 128), sum(COUNTS), norm=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=EPOCHS * steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=generator)[: steps * BATCH].split(BATCH):
            parts = network(shifted(signed(x[rows]), 1, generator)).split(COUNTS, 1)
            loss = torch.stack([F.cross_entropy(part, y[rows, i]) for i, part in enumerate(parts)]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def agreement(network: Network, raw: Tensor, told: list[dict[str, str]]) -> dict[str, float]:
    found = torch.cat(
        [torch.stack([part.argmax(1) for part in network(signed(some)).split(COUNTS, 1)], 1) for some in raw.split(100)]
    )
    right = found == values(told)
    result = {"attributes": right.double().mean().item(), "all_six": right.all(1).double().mean().item()}
    pairs = [
        right[i, [NAMES.index(value.split(" ")[0]) for value in pair]]
        for i, face in enumerate(told)
        for pair in faces.kept_apart(face)
    ]
    if pairs:
        both = torch.stack(pairs).double()
        result |= {"pair": both.mean().item(), "both_of_pair": both.all(1).double().mean().item()}
    return result | dict(zip(NAMES, right.double().mean(0).tolist()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--name", default="pixels")
    parser.add_argument("--scale", type=float)
    asked = parser.parse_args()
    system, started = load(asked.run), time.monotonic()
    size = system.raw_shape[-1]
    data = faces.pictures(size)
    assert data.test is not None
    network = judge()
    parts = {
        "seen": faces.chosen(400, SEED + 2, apart=False),
        "unseen": [faces.told(one) for one in data.test.captions],
    }
    result = {"real": agreement(network, small(held(data.test.raw)), parts["unseen"])}
    how = {} if asked.scale is None else {"scale": asked.scale}
    for name, told in parts.items():
        made = system.generate(len(told), seed=0, condition=[faces.caption(face) for face in told], **how).raw
        result[name] = agreement(network, small(made), told)
        print(name, {key: round(value, 3) for key, value in result[name].items()}, flush=True)
        if name == "unseen":
            rows = [torch.cat(list(one[:SHOWN]), 2) for one in (made, held(data.test.raw))]
            whole = torch.cat(rows, 1).repeat_interleave(3, 1).repeat_interleave(3, 2)
            picture = Image.fromarray(whole.permute(1, 2, 0).numpy())
            write_picture(picture, PICTURES / f"faces_{asked.name}.png")
    result["run"] = {
        "samples": system.about["seen"], "size": size, "scale": asked.scale or system.defaults.scale,
        "steps": system.defaults.grid.steps, "parameters": sum(p.numel() for p in system.network.parameters()),
    }  # fmt: skip
    result["machine"] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    result["seconds"] = round(time.monotonic() - started)
    page = json.loads(PAGE.read_text()) if PAGE.is_file() else {}
    PAGE.write_text(json.dumps({**page, asked.name: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
