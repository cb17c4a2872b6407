"""Pictures of nothing in particular."""

from dataclasses import replace

from ..codecs.pixels import Pixels
from ..conditioning.unconditional import Unconditional
from ..errors import ReverieError
from .base import Pipeline, assembled, size_of
from .schedulers import READERS, read_scheduler
from .unets import read_unet


class Unconditional2D(Pipeline):
    """Pictures of nothing in particular: a `UNet2DModel` and a scheduler."""

    names = ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline")

    def system(self, folder):
        known = {"unet", "scheduler"}
        if extra := (set(folder.parts) | set(folder.settings)) - known:
            raise ReverieError(f"{folder.path}: {folder.pipeline} has no {', '.join(sorted(extra))[:100]}")
        if "unet" not in folder.parts or "scheduler" not in folder.parts:
            raise ReverieError(f"{folder.path} is not whole: {folder.pipeline} needs a unet and a scheduler")
        scheduler = folder.part("scheduler", READERS)
        scheduled = read_scheduler(scheduler, 1000 if scheduler.kind == "DDPMScheduler" else 50)
        unet = folder.part("unet", ["UNet2DModel"])
        network, noise_input = read_unet(unet, scheduled.schedule, scheduled.noise_input)
        size = size_of(unet)
        if network.out_channels != network.channels or network.channels not in (1, 3):
            raise ReverieError(
                f"{unet.folder}: {network.channels} channels in and {network.out_channels} out, which are no pictures of one "
                "or three"
            )
        scheduled = replace(scheduled, noise_input=noise_input)
        return assembled(folder, network, scheduled, Pixels(), Unconditional(), (network.channels, *size))
