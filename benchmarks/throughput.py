"""Images a second of training and of one evaluation, ours beside diffusers': python -m benchmarks.throughput

One U-Net and one transformer, of the same shape, parameters and operations on both sides. Every contender is a process of
its own that waits for its turn; all take one in every round, and ratios are of one round, so that what else the machine does
falls on all of them. Writes docs/throughput.json, which `benchmarks.performance` shows. About ten minutes of two cores.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reverie.core.denoisers import Cast, Preconditioned
from reverie.core.losses import DenoisingLoss
from reverie.core.noise import Seeded
from reverie.core.schedules import Cosine
from reverie.nn.base import Backbone
from reverie.nn.dit import DiT
from reverie.nn.unet import UNet
from reverie.training.averages import Average, Power
from reverie.training.estimate import told
from reverie.training.loop import Objective, train
from reverie.training.memory import keep_freed
from reverie.training.optimizers import adamw

from .processes import Process

OUT = Path(__file__).parent.parent / "docs" / "throughput.json"
BATCH, SIZE = 64, 32
WITHIN = 0.03
"""Parameters and operations of two sides may differ by this share."""


class Contender(NamedTuple):
    name: str
    network: nn.Module
    train: Callable[[], None]
    """One update with `BATCH` images."""
    infer: Callable[[], None]
    """One evaluation of `BATCH` images."""


def ours(name: str, backbone: Backbone, dtype: torch.dtype, compiled: bool = False) -> Contender:
    """As `reverie train` and `reverie sample` run a network: its losses, clipping, AdamW, averages of two lengths."""
    keep_freed()
    backbone.compiled = compiled
    denoiser = Preconditioned(backbone, Cosine())
    cast = Cast(denoiser, dtype)
    loss = DenoisingLoss(cast)
    x = torch.randn(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    cond = {"label": torch.zeros(BATCH, dtype=torch.long)} if backbone.classes else {}
    fed = ({"x": x, "noise": Seeded.at(0, range(i, i + BATCH)), **cond} for i in range(0, 10**9, BATCH))
    averages = [Average(backbone, Power(length)) for length in (0.05, 0.1)]
    steps = train([Objective(loss, adamw(loss, 1e-4, 0.0, dtype))], fed)

    def update() -> None:
        step = next(steps)
        for average in averages:
            average.update(backbone, step.before, step.seen)

    times = torch.tensor(0.5, dtype=torch.float64)

    def infer() -> None:
        backbone.eval()
        with torch.no_grad():
            cast(x, times, **cond)

    return Contender(name, backbone, update, infer)


def theirs(name: str, network: nn.Module, dtype: torch.dtype, cond: dict[str, Any], last: bool = False,
           compiled: bool = False) -> Contender:  # fmt: skip
    """diffusers' own loop: its scheduler's noise, mean squared error, clipping, AdamW, `EMAModel`."""
    from diffusers.schedulers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    network = network.to(memory_format=torch.channels_last) if last else network
    whole = torch.compile(network) if compiled else network
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    ema = EMAModel(network.parameters(), use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    x = torch.randn(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    type_of = lambda: nullcontext() if dtype == torch.float32 else torch.autocast("cpu", dtype)

    def update() -> None:
        network.train()
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (BATCH,))
        with type_of():
            output = whole(scheduler.add_noise(x, noise, t), t, **cond).sample
        F.mse_loss(output.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(network.parameters())

    t = torch.full((BATCH,), 500)

    def infer() -> None:
        network.eval()
        with torch.no_grad(), type_of():
            whole(x, t, **cond)

    return Contender(name, network, update, infer)


def their_unet(head: int | None) -> nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(sample_size=SIZE, in_channels=1, out_channels=1, block_out_channels=(64, 128, 128),
                       layers_per_block=2, down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
                       up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
                       **({} if head is None else {"attention_head_dim": head}))  # fmt: skip


def our_unet() -> Backbone:
    return UNet(spatial=2, channels=1, levels=(64, 128, 128), blocks=2, attention=(False, True, True), adaptive=False)


def their_transformer() -> nn.Module:
    from diffusers import DiTTransformer2DModel

    return DiTTransformer2DModel(num_attention_heads=4, attention_head_dim=64, in_channels=1, out_channels=1,
                                 num_layers=8, sample_size=SIZE, patch_size=2, num_embeds_ada_norm=1)  # fmt: skip


def our_transformer() -> Backbone:
    """With a table of labels for the embeddings of time that each of diffusers' blocks has of its own."""
    return DiT(spatial=2, channels=1, patch=2, width=256, depth=8, head_size=64, classes=3600)


BF16, F32 = torch.bfloat16, torch.float32
CONTENDERS: dict[str, dict[str, Callable[[str], Contender]]] = {
    "unet": {
        "ours": lambda name: ours(name, our_unet(), BF16),
        "ours, --compile on": lambda name: ours(name, our_unet(), BF16, compiled=True),
        "diffusers as run: float32, heads of 8": lambda name: theirs(name, their_unet(None), F32, {}),
        "diffusers, heads of 64, float32": lambda name: theirs(name, their_unet(64), F32, {}),
        "diffusers, heads of 64, bfloat16": lambda name: theirs(name, their_unet(64), BF16, {}),
        "diffusers, heads of 64, bfloat16, channels last": lambda name: theirs(name, their_unet(64), BF16, {}, last=True),
        "diffusers, heads of 64, bfloat16, compiled": lambda name: theirs(name, their_unet(64), BF16, {}, compiled=True),
    },
    "dit": {
        "ours": lambda name: ours(name, our_transformer(), BF16),
        "ours, --compile on": lambda name: ours(name, our_transformer(), BF16, compiled=True),
        "diffusers as run: float32": lambda name: theirs(name, their_transformer(), F32, labels()),
        "diffusers, bfloat16": lambda name: theirs(name, their_transformer(), BF16, labels()),
        "diffusers, bfloat16, compiled": lambda name: theirs(name, their_transformer(), BF16, labels(), compiled=True),
    },
}  # fmt: skip


def labels() -> dict[str, Tensor]:
    return {"class_labels": torch.zeros(BATCH, dtype=torch.long)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(CONTENDERS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.5, help="that a turn lasts at least")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument(
        "--be", nargs=2, metavar=("KIND", "NAME"), help="one contender, told its turns by standard input"
    )
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(given.threads)
    try:
        import diffusers  # noqa: F401
    except ImportError:
        sys.exit("diffusers is not installed: pip install 'reverie[bench]'")
    if given.be:
        serve(*given.be, given.seconds)
        return
    known = json.loads(given.out.read_text()) if given.out.exists() else {}
    for kind in [given.only] if given.only else CONTENDERS:
        known[kind] = measured(kind, given.rounds, given.threads, given.seconds)
        given.out.write_text(json.dumps(known, indent=1) + "\n")


def serve(kind: str, name: str, seconds: float) -> None:
    """Answers each line of standard input, `size`, `train`, `infer` or `memory`, with a line of JSON."""
    one = CONTENDERS[kind][name](name)
    for line in sys.stdin:
        what = line.strip()
        if what == "size":
            answer: Any = counted(one)
        elif what == "memory":
            answer = told("/proc/self/status", "VmHWM") >> 20
        else:
            answer = speed(getattr(one, what), seconds)
        print(json.dumps(answer), flush=True)


def measured(kind: str, rounds: int, threads: int, seconds: float) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.throughput",
        "--threads",
        str(threads),
        "--seconds",
        str(seconds),
        "--be",
    ]
    contenders = [Process(name, [*command, kind, name]) for name in CONTENDERS[kind]]
    sizes = {one.name: one.ask("size") for one in contenders}
    check_alike(sizes)
    speeds: dict[str, dict[str, list[float]]] = {one.name: {"train": [], "infer": []} for one in contenders}
    memory, ceiling = {}, []
    for what in ("train", "infer"):
        for one in contenders:
            one.ask(what)  # compilation, buffers
        for i in range(rounds):
            for one in contenders:
                speeds[one.name][what].append(one.ask(what))
            ceiling.append(convolutions())
            said = ", ".join(f"{one.name} {speeds[one.name][what][-1]:.1f}" for one in contenders)
            print(f"{kind} {what} {i + 1}: {said}", flush=True)
        if what == "train":
            memory = {one.name: one.ask("memory") for one in contenders}
    for one in contenders:
        one.end()
    return {"threads": threads, "ceiling": ceiling, "sizes": sizes, "speeds": speeds, "peak_mib": memory}


def counted(one: Contender) -> dict[str, float]:
    """Parameters, and operations of one evaluation of one image, a multiplication with its addition as two."""
    ours, was = isinstance(one.network, Backbone), getattr(one.network, "compiled", False)
    if ours:
        one.network.compiled = False  # compilers give up, for good, inside a counter
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # of the others nothing is counted
        one.infer()
    if ours:
        one.network.compiled = was
    return {"parameters": sum(p.numel() for p in one.network.parameters()), "flop": counter.get_total_flops() / BATCH}


def check_alike(sizes: dict[str, dict[str, float]]) -> None:
    """Stops where networks that are compared are not of one size."""
    first = sizes["ours"]
    for name, size in sizes.items():
        for what, value in size.items():
            if value and abs(value / first[what] - 1) > WITHIN:  # inside a compiled network nothing is counted
                sys.exit(f"{name} has {value:.4g} {what}, ours {first[what]:.4g}: not within {WITHIN:.0%}")


def speed(work: Callable[[], None], seconds: float) -> float:
    """Images a second, of two turns of work at least."""
    work()
    started, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds or not done:
        work()
        done += BATCH
    return done / passed


def convolutions() -> float:
    """GFLOP/s of a 3x3 convolution of 128 channels in bfloat16, forward and backward: the machine's ceiling."""
    x = torch.randn(32, 128, 16, 16, dtype=BF16).contiguous(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(128, 128, 3, 3, dtype=BF16).contiguous(memory_format=torch.channels_last).requires_grad_()
    dy = torch.randn(32, 128, 16, 16, dtype=BF16).contiguous(memory_format=torch.channels_last)
    flop, best = 3 * 2 * 32 * 16 * 16 * 128 * 128 * 9, 0.0
    for _ in range(30):
        started = time.perf_counter()
        torch.autograd.grad(F.conv2d(x, w, padding=1), (x, w), dy)
        best = max(best, flop / (time.perf_counter() - started) / 1e9)
    return best


if __name__ == "__main__":
    main()
