"""Our U-Net and diffusers' `UNet2DModel` are one function under two sets of names."""

import pytest
import torch

from reverie.nn.layouts import diffusers_config, from_diffusers, to_diffusers, unet_config
from reverie.nn.unet import UNet

diffusers = pytest.importorskip("diffusers")

CONFIGS = [
    dict(),
    dict(channels=1, levels=(32, 64), blocks=1, attention=(False, True), classes=5),
    dict(channels=2, out_channels=4, levels=(64, 64, 128, 128), blocks=1, attention=(False, True, False, False)),
    dict(levels=(32, 32), blocks=3, attention=(False, False), groups=8),
    dict(levels=(64, 128), blocks=1, attention=(True, True), head_size=8, adaptive=False, noise_scale=1.0),
    dict(levels=(64, 96), attention=(False, True), head_size=96, groups=16),
    dict(levels=(32, 64, 64), blocks=1, adaptive=False, eps=1e-2, frequency_shift=1, centred=False),
]


def randomised(network):
    """Every parameter drawn anew, so that no zero hides a difference."""
    torch.manual_seed(0)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1 if p.ndim == 1 else p[0].numel() ** -0.5)
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_renaming_their_tensors_gives_their_function(config):
    ours = UNet(**config).eval()
    theirs = randomised(diffusers.UNet2DModel(**diffusers_config(ours)))
    ours.load_state_dict(from_diffusers(theirs.state_dict()), strict=True)
    x, c_noise = torch.randn(3, ours.channels, 16, 24), torch.tensor([-2.3, 0.0, 1.7])
    label = torch.tensor([0, 2, ours.classes]) if ours.classes else None
    truth = theirs(x, config.get("noise_scale", 100.0) * c_noise, class_labels=label).sample
    torch.testing.assert_close(ours(x, c_noise, label=label), truth, rtol=1e-4, atol=1e-5 * truth.std().item())
    assert truth.std() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("index", [0, 37, 999])
def test_their_timestep_is_our_noise_input_at_scale_one(index):
    theirs = diffusers.UNet2DModel(
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
    )
    theirs = randomised(theirs)
    ours = UNet(**unet_config(theirs.config)).eval()
    ours.load_state_dict(from_diffusers(theirs.state_dict()), strict=True)
    x = torch.randn(2, 3, 8, 8)
    truth = theirs(x, torch.tensor(index)).sample
    torch.testing.assert_close(ours(x, torch.full((2,), float(index))), truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_renaming_there_and_back_changes_nothing(config):
    ours = UNet(**config)
    state = ours.state_dict()
    back = from_diffusers(to_diffusers(state))
    assert list(back) == list(state) and all(back[name] is state[name] for name in state)
    again = UNet(**unet_config(diffusers_config(ours)))
    assert diffusers_config(again) == diffusers_config(ours)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(freq_shift=2), "frequency_shift"),
        (dict(resnet_time_scale_shift="scale_shift", attn_norm_num_groups=None), "attn_norm_num_groups=None"),
        (dict(add_attention=False), "add_attention=False"),
        (dict(up_block_types=("UpBlock2D", "UpBlock2D")), "up_block_types"),
        (dict(down_block_types=("DownBlock2D", "SkipDownBlock2D")), "down_block_types"),
        (dict(downsample_padding=2), "downsample_padding=2"),
        (dict(center_input_sample=True), "center_input_sample=True"),
    ],
)
def test_what_the_layout_lacks_is_refused_by_name(change, says):
    theirs = diffusers_config(UNet(levels=(32, 64), blocks=1)) | change
    with pytest.raises(ValueError, match=says):
        unet_config(theirs)


@pytest.mark.parametrize(
    "config",
    [
        dict(spatial=3),
        dict(tokens=4),
        dict(scalars=2),
        dict(maps=1),
        dict(patch=2),
        dict(levels=(40, 64)),
        dict(levels=(32, 32, 128)),
    ],
)
def test_what_they_lack_is_refused(config):
    with torch.device("meta"), pytest.raises(ValueError, match="UNet2DModel has no"):
        diffusers_config(UNet(**config))
