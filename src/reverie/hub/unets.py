"""The U-Net of a folder of diffusers as one of ours, and one of ours as theirs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..core.parameterizations import Karras, LogSNR, NoiseInput, Velocity
from ..core.schedules import Discrete, Schedule, Tabulated
from ..errors import ReverieError, printable
from ..nn.embeddings import sinusoid
from ..nn.layouts import LAYERS, diffusers_config, to_diffusers, unet_config
from ..nn.unet import UNet
from .folders import Part
from .networks import filled
from .settings import Settings

ABOUT = ("sample_size", "num_train_timesteps")
"""Settings that change no weight: the size it was trained at, and the rows of a table."""
TABLE, FIRST = "time_proj.weight", "time_embedding.linear_1.weight"
SCALE = 100.0
"""`noise_scale` of our networks, told log-SNR / 8."""
LOOSE = 1e-3
"""By how much entries of a table of sinusoids may be off: their angles go to 250, and are rounded to float32."""


def read_unet(part: Part, schedule: Schedule, noise_input: NoiseInput) -> tuple[UNet, NoiseInput]:
    """The network, and what it is told of the noise.

    Tables of embeddings are read where they are those of a log-SNR, as our own exports have them. Raises ReverieError.
    """
    what = f"{part.kind} of {part.folder.parent.name}"
    config = {key: value for key, value in part.config.items() if not key.startswith("_") and key not in ABOUT}
    told = Settings(config, what)
    kind = told.one_of("time_embedding_type", "positional", ("positional", "learned"))
    ordered = told.take("flip_sin_to_cos", True)
    ours = settings_of(told.left, what)
    more: dict[str, tuple[int, ...]] = {}
    if kind == "learned":
        rows, width = part.config.get("num_train_timesteps"), ours["levels"][0]
        more[TABLE] = (rows if type(rows) is int else 0, width)
        noise_input, ours["noise_scale"] = LogSNR(), SCALE

    def changed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if not ordered:  # sines before cosines
            tensors[FIRST] = torch.cat(tensors[FIRST].chunk(2, dim=1)[::-1], dim=1)
        if kind == "learned":
            table = tensors.pop(TABLE)
            off = (table - rows_of(schedule, len(table), table.shape[1])).abs().max().item()
            if not off < LOOSE:
                raise ReverieError(
                    f"{what}: time_embedding_type=learned, with a table that is not that of a log-SNR (off by {off:.2g}): "
                    "such a network is not one of ours"
                )
        return tensors

    return filled(lambda: UNet(**ours), part, LAYERS, what, more, changed), noise_input


def settings_of(config: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        ours = unet_config({"attention_head_dim": 8, **config})
        known = diffusers_config(UNet.sketch(**ours))
    except KeyError as error:
        raise ReverieError(f"{what} is not whole: its config.json lacks {error}") from None
    except (ValueError, TypeError) as error:
        raise ReverieError(f"{what} is not a network of ours: {printable(str(error)[:300])}") from None
    if strange := sorted(set(config) - set(known)):
        raise ReverieError(
            f"{what} says {printable(', '.join(strange)[:200])}, which nothing here knows: it is not imported"
        )
    return ours


def rows_of(schedule: Schedule, count: int, width: int) -> Tensor:
    """What our networks are told at each index of a table of `count` levels, (count, width)."""
    t = torch.arange(1, count + 1, dtype=torch.float64) / count
    return sinusoid(SCALE * LogSNR()(schedule, t).float(), width)


def table_of(schedule: Schedule, count: int) -> Tabulated:
    """A schedule at `count` even times, as betas. Raises ReverieError where it keeps no variance or does not grow."""
    if isinstance(schedule, Discrete):
        alpha = schedule.log_snrs().sigmoid().sqrt()
    else:
        alpha, sigma = schedule(torch.arange(1, count + 1, dtype=torch.float64) / count)
        if ((alpha**2 + sigma**2 - 1).abs() > 1e-6).any():
            raise ReverieError(
                f"{schedule} does not keep alpha^2 + sigma^2 = 1, as every scheduler of DDPMPipeline does: train with "
                "--schedule cosine"
            )
    squares = torch.cat([alpha.new_ones(1), alpha**2])
    return Tabulated(tuple((1 - squares[1:] / squares[:-1]).tolist()))


def write_unet(
    network: UNet, schedule: Schedule, count: int, sample_size: int, negated: bool
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json and the tensors of a `UNet2DModel` that is told an index; `negated` turns the sign of its output.

    Raises ReverieError where `UNet2DModel` lacks a part of the network.
    """
    try:
        config, tensors = diffusers_config(network), to_diffusers(network.state_dict())
    except ValueError as error:
        raise ReverieError(f"this network has no place in DDPMPipeline: {error}") from None
    if network.classes:
        raise ReverieError("DDPMPipeline tells its network no class: export a run without labels")
    tensors[TABLE] = rows_of(schedule, count, network.conditions.features)
    if negated:
        tensors |= {name: -tensors[name] for name in ("conv_out.weight", "conv_out.bias")}
    config |= {"time_embedding_type": "learned", "num_train_timesteps": count, "sample_size": sample_size}
    return config, tensors


def negates(parameterization: Any) -> bool:
    """Whether the output is minus the velocity. Raises ReverieError where it is neither."""
    if parameterization == Velocity():
        return False
    if parameterization == Karras(1.0):
        return True
    raise ReverieError(
        f"{parameterization} is neither a velocity nor, but for the sign, the same: where the data have another spread than 1 "
        "its input is scaled, which DDPMPipeline does not do. Train with --parameterization velocity"
    )
