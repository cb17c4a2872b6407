"""A network of diffusers as a denoiser, against diffusers' own scheduler."""

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel

from reverie.core import parameterizations
from reverie.core.denoisers import Foreign, Preconditioned
from reverie.core.parameterizations import Index
from reverie.core.schedules import LinearBetas


@pytest.mark.parametrize(
    ("kind", "parameterization"),
    [
        ("epsilon", parameterizations.Noise()),
        ("v_prediction", parameterizations.Velocity()),
        ("sample", parameterizations.Clean()),
    ],
)
def test_what_diffusers_predicts_is_the_guess_of_its_scheduler(kind, parameterization):
    unet = UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, num_class_embeds=3,
    )  # fmt: skip
    denoiser = Preconditioned(Foreign(unet, {"label": "class_labels"}), LinearBetas(), parameterization, Index(1000))
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)
    x_t, label = torch.randn(2, 1, 8, 8), torch.tensor([2, 0])
    scheduler.set_timesteps(1000)
    with torch.no_grad():
        for index in (999, 500, 3):
            x_hat = denoiser.given(label=label)(x_t, torch.tensor((index + 1) / 1000, dtype=torch.float64)).x_hat
            output = unet(x_t, index, class_labels=label).sample
            truth = scheduler.step(output, index, x_t).pred_original_sample
            torch.testing.assert_close(x_hat, truth, rtol=1e-4, atol=1e-4)
