"""How well a model of emoji shows what is asked for: python -m benchmarks.emoji RUN --name pixels

Asked are labels of 600 pictures that it learned, evenly out of all and one of each, whatever its tones, and likewise of those
of concepts held out. R-precision of its samples and of the real pictures of the same labels by the matcher that ships (which
saw Twitter's style alone); the kernel distance to real pictures in the features of EfficientNet-Lite0, and its floor: that of
real pictures to others. The scale of guidance is that of `--scale`, or the best on 100 others that it learned. Eight prompts
are drawn beside the nearest picture that it learned. Writes its part of docs/emoji.json, and docs/images/emoji_NAME.png.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from PIL import Image

from reverie.data.builtin import emoji
from reverie.data.stored import held
from reverie.features.efficientnet import EfficientNetLite0
from reverie.features.matcher import Matcher
from reverie.metrics.base import Population
from reverie.metrics.kernel import Kernel
from reverie.metrics.retrieval import Retrieval
from reverie.modalities.grids import write_picture
from reverie.systems.base import load

PAGE, PICTURES = Path("docs/emoji.json"), Path("docs/images")
PROMPTS = (
    "red heart",
    "grinning cat",
    "blue book",
    "pizza",
    "purple flower",
    "green apple",
    "sailboat",
    "woman astronaut",
)
"""Chosen before any sample was looked at."""
SCALES = (2.0, 3.0, 4.0)
MOST, TRIED, EACH = 600, 100, 4


def single(captions) -> torch.Tensor:
    """The first picture of each name, less its tones and genders; flags and keys are told apart by what comes after it."""
    first: dict[str, int] = {}
    for i, caption in enumerate(captions):
        name = caption if caption.startswith(("flag", "keycap")) else caption.split(":")[0]
        first.setdefault(name, i)
    return torch.tensor(list(first.values()))


def evenly(rows: torch.Tensor, count: int, start: int = 0) -> torch.Tensor:
    """`count` of them, or all, and others for another start."""
    count = min(count, len(rows))
    return rows[(torch.arange(count) * len(rows) // count + start) % len(rows)]


def samples(system, labels: list[str], scale: float, seed: int) -> torch.Tensor:
    return system.generate(len(labels), seed=seed, condition=labels, scale=scale).raw


def precision(raw: torch.Tensor, real: torch.Tensor, labels: list[str]) -> dict[str, float]:
    told = tuple(labels)
    return Retrieval().measure(Population(raw=small(raw), prompts=told), Population(raw=small(real), prompts=told))


def small(raw: torch.Tensor) -> torch.Tensor:
    """As the matcher sees them, 32 x 32."""
    factor = raw.shape[-1] // 32
    return torch.nn.functional.avg_pool2d(raw.float(), factor).round().to(torch.uint8) if factor > 1 else raw


def figures(system, part, rows: torch.Tensor, scale: float, seed: int, others: torch.Tensor) -> dict[str, float]:
    real, labels = held(part.raw)[rows], [part.captions[i] for i in rows.tolist()]
    made = samples(system, labels, scale, seed)
    found = precision(made, real, labels)
    see = EfficientNetLite0().extract
    x, y, z = (Population(features=see(one)) for one in (made, real, others))
    for name, one in (("kernel", x), ("kernel_of_real", z)):
        measured = Kernel().measure(one, y)
        found[name], found[f"{name}_error"] = measured["kernel"], measured["kernel_error"]
    return found


def grid(system, part, scale: float) -> Image.Image:
    """A row a prompt: four samples, a gap, the nearest picture that it learned to the first of them, by features."""
    matcher, raw = Matcher(), held(part.raw)
    known = matcher.pictures(small(raw))
    rows = []
    for prompt in PROMPTS:
        made = samples(system, [prompt] * EACH, scale, 0)
        nearest = (matcher.pictures(small(made[:1])) @ known.T).argmax()
        gap = torch.full_like(made[0, :, :, :8], 255)
        rows.append(torch.cat([*made, gap, raw[nearest]], dim=2))
    whole = torch.cat(rows, dim=1).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return Image.fromarray(whole.permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--name", default="pixels")
    parser.add_argument("--scale", type=float)
    asked = parser.parse_args()
    system = load(asked.run)
    size = system.raw_shape[-1]
    seen = emoji.pictures("google", size, tagged=False)
    unseen, started = seen.test, time.monotonic()
    known = single(seen.captions)
    rows, tried = evenly(known, MOST), evenly(known, TRIED, 1)
    labels = [seen.captions[i] for i in tried.tolist()]
    sweep = {}
    for scale in (asked.scale,) if asked.scale else SCALES:
        found = precision(samples(system, labels, scale, 1), held(seen.raw)[tried], labels)
        sweep[f"{scale:g}"] = found["r_precision_1"]
        print(
            f"scale {scale:g}: R-precision {found['r_precision_1']:.3f} (real {found['r_precision_of_real_1']:.3f})",
            flush=True,
        )
    scale = float(max(sweep, key=lambda one: sweep[one]))
    others = held(seen.raw)[evenly(known, MOST, 1)]
    result = {
        "run": {"samples": system.about["seen"], "network": type(system.network).__name__, "size": size, "scale": scale,
                "sampler": str(system.defaults.sampler), "steps": system.defaults.grid.steps,
                "parameters": sum(p.numel() for p in system.network.parameters())},
        "sweep": sweep,
        "seen": figures(system, seen, rows, scale, 0, others),
        "unseen": figures(system, unseen, single(unseen.captions), scale, 0, others[: len(unseen)]),
        "machine": {"torch": torch.__version__, "threads": torch.get_num_threads()},
    }  # fmt: skip
    result["seconds"] = round(time.monotonic() - started)
    page = json.loads(PAGE.read_text()) if PAGE.is_file() else {}
    PAGE.write_text(json.dumps({**page, asked.name: result}, indent=1) + "\n")
    PICTURES.mkdir(exist_ok=True)
    write_picture(grid(system, seen, scale), PICTURES / f"emoji_{asked.name}.png")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
