"""Folders that diffusers itself writes, small, with random weights."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="session")
def unet():
    """A `UNet2DModel` whose every weight is drawn, so that no zero hides a difference."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=3,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
    )
    for name, p in network.named_parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.1)
        else:
            torch.nn.init.normal_(p, std=0.5 * p[0].numel() ** -0.5)
    return network.eval()


@pytest.fixture
def saved(unet, tmp_path):
    """Writes a pipeline of the network and a scheduler, and says where."""

    def save(scheduler, pipeline=diffusers.DDPMPipeline, name="theirs"):
        pipeline(unet, scheduler).save_pretrained(tmp_path / name)
        return tmp_path / name

    return save
