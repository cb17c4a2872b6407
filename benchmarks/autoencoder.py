"""What becomes of pictures that an autoencoder never saw: python -m benchmarks.autoencoder RUN --name emoji

RUN is of `reverie train autoencoder`, with pictures held out. PSNR, distance in the features of EfficientNet-Lite0 and bits a
pixel, as `reverie evaluate RUN` has them, beside the same pictures shrunk to the sides of the latent and enlarged by cubic
interpolation. Writes its part of docs/autoencoders.json, and docs/images/autoencoder_NAME.png: pictures, what came back, cubic.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image

from reverie.codecs.detail import enlarged
from reverie.codecs.pixels import Pixels
from reverie.data.degradations import shrunk
from reverie.data.stored import held
from reverie.modalities.grids import write_picture
from reverie.recipes.evaluating import data_of, evaluate_autoencoder
from reverie.systems.autoencoding import Autoencoding
from reverie.systems.base import load

PAGE, PICTURES, SHOWN, WIDE = Path("docs/autoencoders.json"), Path("docs/images"), 12, 768


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--name", required=True)
    parser.add_argument("-n", type=int, default=1000)
    asked = parser.parse_args()
    system, (data, _) = load(asked.run), data_of(asked.run)
    assert isinstance(system, Autoencoding) and data.test is not None
    found = evaluate_autoencoder(system, data, n=asked.n)
    raw, pixels, factor = held(data.test.raw), Pixels(), system.network.factor
    raw = raw[torch.arange(SHOWN) * len(raw) // SHOWN]
    cubic = pixels.decode(enlarged(shrunk(pixels.encode(raw), factor), factor))
    rows = torch.cat([torch.cat(list(one), 2) for one in (raw, system.reconstruct(raw), cubic)], 1)
    times = max(1, WIDE // rows.shape[2])
    whole = rows.repeat_interleave(times, 1).repeat_interleave(times, 2)
    write_picture(Image.fromarray(whole.permute(1, 2, 0).numpy()), PICTURES / f"autoencoder_{asked.name}.png")
    result = {
        "run": {"samples": system.about["seen"], "latent": [system.network.latent, factor], "side": raw.shape[-1],
                "parameters": sum(p.numel() for p in system.network.parameters())},
        "held_out": found.result.counts["samples"],
        "figures": {name: [one.value, one.error] for name, one in found.result.figures.items()},
        "cubic": {name: [one.value, one.error] for name, one in found.ladder["cubic"].figures.items()},
        "torch": torch.__version__,
    }  # fmt: skip
    page = json.loads(PAGE.read_text()) if PAGE.is_file() else {}
    PAGE.write_text(json.dumps({**page, asked.name: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
