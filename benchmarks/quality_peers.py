"""The peers of `benchmarks.time_to_quality`, each trained and sampled as it means to be: a process of its own per peer.

    python benchmarks/quality_peers.py NAME DTYPE PICTURES.npy THREADS

answers lines of JSON on standard input with lines of JSON. It imports nothing of ours, since denoising-diffusion-pytorch lives
with another version of torch in an environment of its own.
"""

import copy
import json
import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

BATCH, SIDE, AT_ONCE = 32, 32, 128
"""Pictures an update, pixels a side, and pictures sampled at once."""


class Peer:
    """A network, what is minimised, and what follows an update. `x` is float (B, 1, 32, 32) in [-1, 1]."""

    network: nn.Module
    averaged: nn.Module
    decays = False
    """Whether the learning rate falls, so that a run of 5 minutes is not the first half of one of 10."""

    def optimizer(self, rate: float) -> torch.optim.Optimizer:
        raise NotImplementedError

    def rate(self, update: int, updates: int) -> float:
        """The share of the highest learning rate."""
        return 1.0

    def loss(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def after(self) -> None:
        """Updates the average."""

    samplers: tuple[str, ...] = ("ddim",)

    def sample(self, network: nn.Module, count: int, evaluations: int, sampler: str = "ddim") -> Tensor:
        """(count, 1, 32, 32) in [-1, 1]."""
        raise NotImplementedError


class Diffusers(Peer):
    """Its example `train_unconditional.py`: noise prediction, 1000 linear steps, AdamW, cosine decay, `EMAModel`; DDIM."""

    decays = True

    def __init__(self) -> None:
        from diffusers import DDPMScheduler, UNet2DModel
        from diffusers.training_utils import EMAModel

        self.network = UNet2DModel(
            sample_size=SIDE, in_channels=1, out_channels=1, block_out_channels=(32, 96, 128), layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), norm_num_groups=8, attention_head_dim=64,
        )  # fmt: skip
        self.scheduler = DDPMScheduler(num_train_timesteps=1000)
        self.ema = EMAModel(self.network.parameters(), use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self.averaged = copy.deepcopy(self.network)

    def optimizer(self, rate):
        return torch.optim.AdamW(self.network.parameters(), lr=rate, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)

    def rate(self, update, updates):
        warm = min(500, updates // 10)
        if update < warm:
            return update / warm
        return 0.5 * (1 + math.cos(math.pi * (update - warm) / max(1, updates - warm)))

    def loss(self, x):
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        output = self.network(self.scheduler.add_noise(x, noise, t), t).sample
        return nn.functional.mse_loss(output.float(), noise)

    def after(self):
        self.ema.step(self.network.parameters())
        self.ema.copy_to(self.averaged.parameters())

    samplers = ("ddim", "dpmpp_2m", "unipc")

    def sample(self, network, count, evaluations, sampler="ddim"):
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

        kinds = {"ddim": DDIMScheduler, "dpmpp_2m": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}
        scheduler: Any = kinds[sampler].from_config(self.scheduler.config)
        scheduler.set_timesteps(evaluations)
        x = torch.randn(count, 1, SIDE, SIDE)
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t).sample.float(), t, x).prev_sample
        return x


class Azula(Peer):
    """Its U-Net, modulated by the noise level, `KarrasDenoiser` and loss as in its README: Adam, uniform times; DDIM. It has no
    average of its own: an exponential one of 0.999.
    """

    def __init__(self) -> None:
        from azula.denoise import KarrasDenoiser
        from azula.nn.layers import SineEncoding
        from azula.nn.unet import UNet
        from azula.noise import VPSchedule

        class Modulated(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed = nn.Sequential(SineEncoding(64), nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 128))
                self.unet = UNet(1, 1, hid_channels=(32, 96, 128), hid_blocks=(1, 1, 3), mod_features=128, norm="group")

            def forward(self, x: Tensor, t: Tensor) -> Tensor:
                return self.unet(x, self.embed(t))

        self.network = KarrasDenoiser(Modulated(), VPSchedule())
        self.averaged = copy.deepcopy(self.network)

    def optimizer(self, rate):
        return torch.optim.Adam(self.network.parameters(), lr=rate)

    def loss(self, x):
        return self.network.loss(x, torch.rand(len(x)))

    def after(self):
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 0.001)

    samplers = ("ddim", "heun", "reab")

    def sample(self, network, count, evaluations, sampler="ddim"):
        from azula.sample import DDIMSampler, HeunSampler, REABSampler

        kinds = {"ddim": DDIMSampler, "heun": HeunSampler, "reab": REABSampler}
        steps = (evaluations + 1) // 2 if sampler == "heun" else evaluations  # its last step takes one
        made: Any = kinds[sampler](network, steps=steps, silent=True)
        return made(made.init((count, 1, SIDE, SIDE)))


class Ddp(Peer):
    """denoising-diffusion-pytorch: its `Unet`, `GaussianDiffusion`, and what its `Trainer` does; DDIM."""

    def __init__(self) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from ema_pytorch import EMA

        self.network = GaussianDiffusion(Unet(dim=36, dim_mults=(1, 2, 4), channels=1), image_size=SIDE, timesteps=1000,
                                         sampling_timesteps=50)  # fmt: skip
        self.ema = EMA(self.network, beta=0.995, update_every=10)
        self.averaged = self.ema.ema_model

    def optimizer(self, rate):
        return torch.optim.Adam(self.network.parameters(), lr=rate, betas=(0.9, 0.99))

    def loss(self, x):
        return self.network((x + 1) / 2)

    def after(self):
        self.ema.update()

    def sample(self, network, count, evaluations, sampler="ddim"):
        network.sampling_timesteps = evaluations
        return network.sample(batch_size=count) * 2 - 1


EVALUATED = ("raw", "averaged")
"""Both states of the weights; figures are those of the better."""
PEERS = {"diffusers": Diffusers, "azula": Azula, "denoising-diffusion-pytorch": Ddp}


class Serving:
    def __init__(self, name: str, dtype: str, pictures: Path) -> None:
        torch.manual_seed(0)
        self.peer: Any = PEERS[name]()
        self.dtype = getattr(torch, dtype)
        raw = np.load(pictures)  # uint8 (N, 1, 32, 32), held in memory
        self.data = torch.from_numpy(raw).float() / 127.5 - 1
        self.timed: torch.optim.Optimizer | None = None

    def fast(self) -> Any:
        return nullcontext() if self.dtype == torch.float32 else torch.autocast("cpu", self.dtype)

    def update(self, optimizer: torch.optim.Optimizer, rows: Tensor) -> float:
        self.peer.network.train()
        with self.fast():
            loss = self.peer.loss(self.data[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(self.peer.network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        self.peer.after()
        return loss.item()

    def size(self) -> int:
        return sum(p.numel() for p in self.peer.network.parameters() if p.requires_grad)

    def speed(self, seconds: float) -> float:
        """Seconds an update. The weights that it leaves are not to be used."""
        self.timed = self.timed or self.peer.optimizer(1e-4)
        rows = torch.arange(BATCH)
        self.update(self.timed, rows)
        started, done = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < seconds:
            self.update(self.timed, rows)
            done += 1
        return passed / done

    def train(self, rate: float, updates: int, marks: dict[str, str]) -> dict[str, float]:
        """Trains fresh weights; after so many updates, both states go to the path of that mark. The mean loss before it."""
        torch.manual_seed(0)
        self.peer = type(self.peer)()
        optimizer, losses, told = self.peer.optimizer(rate), [], {}
        order = torch.Generator().manual_seed(1)
        rows: Any = iter(())
        for i in range(updates):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.peer.rate(i, updates)
            batch = next(rows, None)
            if batch is None or len(batch) < BATCH:
                rows = iter(torch.randperm(len(self.data), generator=order).split(BATCH))
                batch = next(rows)
            losses.append(self.update(optimizer, batch))
            if path := marks.get(str(i + 1)):
                states = (self.peer.network.state_dict(), self.peer.averaged.state_dict())
                torch.save(dict(zip(EVALUATED, states, strict=True)), path)
                told[str(i + 1)] = sum(losses[-200:]) / len(losses[-200:])
        return told

    def sample(self, state: str, which: str, count: int, evaluations: int, out: str, sampler: str = "ddim") -> float:
        """Writes uint8 (count, 28, 28), without the border, to `out`; the seconds that sampling took."""
        network = self.peer.network if which == "raw" else self.peer.averaged
        network.load_state_dict(torch.load(state, weights_only=True)[which])
        network.eval()
        torch.manual_seed(2)
        started = time.perf_counter()
        parts = [min(AT_ONCE, count - start) for start in range(0, count, AT_ONCE)]
        with torch.no_grad(), self.fast():
            made = [self.peer.sample(network, part, evaluations, sampler).float() for part in parts]
        passed = time.perf_counter() - started
        raw = ((torch.cat(made).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        edge = (SIDE - 28) // 2
        np.save(out, raw[:, 0, edge:-edge, edge:-edge].numpy())
        return passed


def main() -> None:
    torch.set_num_threads(int(sys.argv[4]))
    serving = Serving(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    for line in sys.stdin:
        told = json.loads(line)
        print(json.dumps(getattr(serving, told.pop("do"))(**told)), flush=True)


if __name__ == "__main__":
    main()
