"""How a sample comes about, as a moving picture."""

import io
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..discover import describe, install_command
from ..errors import MissingDependency, ReverieError
from ..systems.base import Samples
from .base import Edit, Edited, option, share
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Animate(Edit):
    """Show the way from noise to samples, or from a picture noised to --strength to its variations, step by step.

    animation.gif or animation.mp4 shows all of them side by side: the guess of the clean picture at each step, or the noisy
    picture itself. The samples at its end are those of `reverie sample`, and `reverie replay` makes them again.
    """

    takes = (0, 1)
    strength: float = option(0.5, "of a picture: share of the way to pure noise, from 0 to 1")
    show: str = option(
        "guess", "what is seen at each step: guess, or state, the noisy picture", choices=("guess", "state")
    )
    format: str = option("gif", "gif, or mp4 where PyAV is installed", choices=("gif", "mp4"))
    fps: float = option(8.0, "pictures a second")

    def do(self, system, given, how):
        share("strength", self.strength)
        for what, value, known in (("show", self.show, ("guess", "state")), ("format", self.format, ("gif", "mp4"))):
            if value not in known:
                raise ReverieError(f"{what} is {known[0]} or {known[1]}, not {value!r}")
        if not 0 < self.fps <= 100:
            raise ReverieError(f"pictures a second are more than 0 and at most 100, not {self.fps:g}")
        write = gif if self.format == "gif" else mp4()
        if how.count > how.batch:
            raise ReverieError(f"{how.count} samples are more than one batch of {how.batch}: raise --batch")
        shape = given[0].shape if given else system.raw_shape
        work = Work(system, how, shape)
        if work.tiled and how.count > 1:
            raise ReverieError("a picture of another size than the model's is animated alone: leave out the count")
        level = work.level(self.strength if given else 1.0)
        if not level.t:
            raise ReverieError("strength 0 goes no way that could be shown: take a strength above 0")
        grid, rows = work.times(level.t), list(range(how.count))
        z = work.encode(given[0]) if given else None
        frames: list[Any] = []

        def start(eps: Tensor, t: Tensor) -> Tensor:
            x = self.started(work, eps, t) if z is None else work.noised(z, t, eps)
            frames.append(self.frame(work, x, torch.zeros_like(x) if z is None else z.expand_as(x), t))
            return x

        raw = work.decode(work.made(start, grid, seen=lambda state: frames.append(
            self.frame(work, state.x_t, state.x_hat, state.t))))  # fmt: skip
        frames[-1] = system.modality.show(raw)
        said = [f"noise level: {level}", f"{len(frames)} pictures of {len(grid) - 1} steps"]
        files = {f"animation.{self.format}": write(frames, self.fps)}
        if given:
            return Edited(raw, work.info(self, [told(given[0])], level=level.t), said, files)
        info = {"seed": how.seed, "sampler": describe(work.sampler), "grid": describe(work.grid), "scale": work.scale,
                "dtype": work.dtype}  # fmt: skip
        info |= {"guidance": [describe(one) for one in work.plans]} if work.plans else {}
        info |= {"weak": {"sha256": how.weak.weights_hash}} if how.weak is not None else {}
        part = Samples(raw, system.values(rows, how.condition), info, rows)
        return Edited(raw, info, said, files, [part])

    def started(self, work: Work, eps: Tensor, t: Tensor) -> Tensor:
        return work.system.start(eps, t)

    def frame(self, work: Work, x_t: Tensor, x_hat: Tensor, t: Tensor) -> Any:
        """All versions at a time, side by side; the noisy picture is shown at the spread of the data."""
        if self.show == "state":
            alpha, sigma = work.schedule(t)
            x_hat = x_t / (alpha**2 + (sigma / work.system.codec.std) ** 2).sqrt().item()
        return work.system.modality.show(work.decode(work.crop(x_hat)))


def gif(frames: list[Any], fps: float) -> bytes:
    """A GIF that begins again after a second of its last picture."""
    buffer, lasting = io.BytesIO(), round(1000 / fps)
    colours = [frame.convert("P", palette=1, colors=128) for frame in frames]
    colours[0].save(buffer, "GIF", save_all=True, append_images=colours[1:], loop=0,
                    duration=[lasting] * (len(frames) - 1) + [lasting + 1000])  # fmt: skip
    return buffer.getvalue()


def mp4() -> Any:
    """What writes H.264. Raises MissingDependency where PyAV is not installed."""
    try:
        import av
    except ModuleNotFoundError:
        raise MissingDependency(f"MP4 is written by PyAV, which is not installed: {install_command('av')}, or take "
                                "--format gif") from None  # fmt: skip

    def write(frames: list[Any], fps: float) -> bytes:
        from fractions import Fraction

        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as file:
            width, height = (side + side % 2 for side in frames[0].size)  # its colours are those of 2 x 2 pixels
            stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for picture in frames:
                even = picture.crop((0, 0, width, height))
                file.mux(stream.encode(av.VideoFrame.from_image(even)))
            file.mux(stream.encode())
        return buffer.getvalue()

    return write
