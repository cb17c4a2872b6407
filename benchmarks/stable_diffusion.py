"""U-Net and autoencoder of Stable Diffusion 1 at random weights, ours beside diffusers': python -m benchmarks.stable_diffusion

64 x 64 latents, two at a time as guidance takes them, and their 512 x 512 pixels; then the memory that decoding 2048 x 2048
pixels in tiles takes. Every contender is a process of its own that waits for its turn, and ratios are of one round, at equal
types: the networks as they come, and at their best of `--kinds`, whose weights are all in memory at once. `--dtype bfloat16`
where the machine has it, `--work` for a part of it all. Writes its parts of docs/stable_diffusion.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from reverie.codecs.latent import Latent
from reverie.nn.autoencoder import Autoencoder
from reverie.nn.base import Backbone
from reverie.nn.spatial import SpatialUNet
from reverie.systems.records import kind_of
from reverie.training.estimate import told
from reverie.training.memory import keep_freed

from .processes import Process

OUT = Path(__file__).parent.parent / "docs" / "stable_diffusion.json"
BATCH, SIDE, LARGE, TOKENS = 2, 64, 256, 77
WIDTHS = (128, 256, 512, 512)
WORK, SIDES = ("unet", "decode", "tiled"), ("ours", "diffusers")
KEPT = "ours, keeping what it frees"
"""For its next tensor, as the commands do, which is quicker and takes more."""
KINDS = {
    "as it comes": ("0", "0"),
    "channels last": ("1", "0"),
    "compiled": ("0", "1"),
    "compiled, channels last": ("1", "1"),
}
"""Whether channels come last in memory, and whether what can be compiled is: our U-Net's own kernels, else `torch.compile`."""


class Contender:
    """One side at one type; what it is asked for it does once, and says how long that took."""

    def __init__(self, side: str, dtype: str, last: bool, compiled: bool) -> None:
        self.side, self.dtype, self.last, self.compiled = side, getattr(torch, dtype), last, compiled
        torch.manual_seed(0)
        self.networks: dict[str, Any] = {}

    def network(self, work: str) -> Any:
        if work not in self.networks:
            made = self.ours(work) if self.side == "ours" else self.theirs(work)
            made = made.eval().to(self.dtype)
            made = made.to(memory_format=torch.channels_last) if self.last else made
            if self.compiled and isinstance(made, Backbone):
                made.compiled = True
            elif self.compiled:
                called = "forward" if work == "unet" else "decode"
                setattr(made, called, torch.compile(getattr(made, called)))
            self.networks[work] = made
        return self.networks[work]

    def ours(self, work: str) -> Any:
        return SpatialUNet() if work == "unet" else Autoencoder(levels=WIDTHS, blocks=2)

    def theirs(self, work: str) -> Any:
        from diffusers import AutoencoderKL, UNet2DConditionModel

        if work == "unet":
            return UNet2DConditionModel(cross_attention_dim=768)
        return AutoencoderKL(sample_size=512, block_out_channels=WIDTHS, layers_per_block=2,
                             down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)  # fmt: skip

    def like(self, *shape: int) -> torch.Tensor:
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last) if self.last and len(shape) == 4 else x

    @torch.no_grad()
    def once(self, work: str) -> float:
        if self.side == "ours":
            keep_freed()
        network = self.network(work)
        z, at, tokens = self.like(BATCH, 4, SIDE, SIDE), torch.full((BATCH,), 500.0), self.like(BATCH, TOKENS, 768)
        started = time.monotonic()
        if work == "unet":
            network(z, at, tokens=tokens) if self.side == "ours" else network(z, at, tokens)
        else:
            network.decode(z[:1])
        return time.monotonic() - started

    @torch.no_grad()
    def tiled(self) -> int:
        """MiB above the idle network that 2048 x 2048 pixels take."""
        network, z = self.network("decode"), self.like(1, 4, LARGE, LARGE)
        before = told("/proc/self/status", "VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        if self.side == "ours":
            Latent(4, 8, (1.0,), (0.0,)).use(network).decode(z)
        else:
            network.enable_tiling()
            network.decode(z)
        return (told("/proc/self/status", "VmHWM") - before) >> 20


def answer(arguments: list[str]) -> None:
    side, dtype, last, compiled = arguments
    contender = Contender(side, dtype, last == "1", compiled == "1")
    for line in sys.stdin:
        work = line.strip()
        if work == KEPT:
            keep_freed()
        print(json.dumps(contender.tiled() if work in ("tiled", KEPT) else contender.once(work)), flush=True)


def timed(dtype: str, work: str, kinds: Sequence[str], count: int) -> dict[str, Any]:
    contenders = {(side, kind): contender(side, dtype, kind) for kind in kinds for side in SIDES}
    for one in contenders.values():
        one.ask(work)  # the first makes everything ready
    rounds = [{name: one.ask(work) for name, one in contenders.items()} for _ in range(count)]
    for one in contenders.values():
        one.end()
    seconds = {name: median(one[name] for one in rounds) for name in contenders}
    best = {side: min(kinds, key=lambda kind: seconds[side, kind]) for side in SIDES}
    plain = [one["diffusers", "as it comes"] / one["ours", "as it comes"] for one in rounds]
    fast = [one["diffusers", best["diffusers"]] / one["ours", best["ours"]] for one in rounds]
    return {
        "seconds": {f"{side}, {kind}": round(value, 3) for (side, kind), value in seconds.items()},
        "as it comes": spread(plain), "best": spread(fast), "best of": best,
    }  # fmt: skip


def spread(ratios: list[float]) -> list[float]:
    """Median, least and most."""
    return [round(one, 3) for one in (median(ratios), min(ratios), max(ratios))]


def tiled(dtype: str) -> dict[str, int]:
    found = {}
    for side, work, name in (*((side, "tiled", side) for side in SIDES), ("ours", KEPT, KEPT)):
        one = contender(side, dtype, "as it comes")
        found[name] = one.ask(work)
        one.end()
    return found


def contender(side: str, dtype: str, kind: str) -> Process:
    command = [sys.executable, "-m", "benchmarks.stable_diffusion", "--answer", side, dtype, *KINDS[kind]]
    return Process(f"{side}, {kind}", command)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS)[:2])
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    asked = parser.parse_args()
    kinds = list(dict.fromkeys(["as it comes", *asked.kinds]))
    for work in asked.work:
        found = tiled(asked.dtype) if work == "tiled" else timed(asked.dtype, work, kinds, asked.rounds)
        found |= {
            "device": kind_of(torch.device("cpu")),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        print(json.dumps({work: found}, indent=1), flush=True)
        page = json.loads(OUT.read_text()) if OUT.is_file() else {}
        page[asked.dtype] = page.get(asked.dtype, {}) | {work: found}
        OUT.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        answer(sys.argv[2:])
    else:
        main()
