"""Codecs are inverses, and say truly what z looks like."""

import math

import pytest
import torch

from reverie import codecs
from reverie.codecs import Codec, Pixels, Standard
from reverie.data import Dataset
from reverie.discover import construct, describe, discover, variants
from reverie.errors import ReverieError

LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


def test_all_256_levels_come_back():
    z = Pixels().encode(LEVELS)
    assert z.dtype == torch.float32 and (z.min().item(), z.max().item()) == Pixels.range == (-1, 1)
    assert torch.equal(Pixels().decode(z), LEVELS)
    assert torch.equal(Pixels().decode(z.double()), LEVELS)
    assert torch.equal(Pixels().decode(z + 0.99 / 255 * (2 * torch.rand_like(z) - 1)), LEVELS), "the nearest level wins"


def test_pixels_clamp_and_refuse_what_is_not_finite():
    assert Pixels().decode(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]
    with pytest.raises(ReverieError, match="not finite"):
        Pixels().decode(torch.tensor([0.0, math.nan]))


def test_the_measured_std_is_that_of_z_about_its_mean():
    raw = torch.randint(0, 256, (5000, 3, 2, 2), dtype=torch.uint8) // torch.tensor([1, 2, 50])[:, None, None]
    codec = Pixels.fit(Dataset("some", raw.to(torch.uint8)))
    assert codec.std == pytest.approx(codec.encode(raw).double().std(correction=0).item(), rel=1e-6)


def test_standardised_arrays_have_mean_0_and_std_1_and_come_back():
    raw = torch.randn(4000, 3, 5) * torch.tensor([1e-3, 1.0, 1e3])[:, None] + torch.tensor([0.0, 1e4, -5.0])[:, None]
    codec = Standard.fit(Dataset("some", raw, modality="Arrays"))
    z = codec.encode(raw)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.double().mean((0, 2)), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(z.double().std((0, 2), correction=0), torch.ones(3).double(), rtol=1e-6, atol=0)
    assert codec.std == 1 and codec.range is None
    spread = torch.tensor(codec.std_raw)[:, None]
    torch.testing.assert_close(codec.decode(z) / spread, raw / spread, rtol=2e-7, atol=1e-6)


def test_a_constant_channel_is_zero_and_decodes_to_itself():
    raw = torch.cat([torch.randn(500, 1, 4), torch.full((500, 1, 4), 0.1)], 1)
    codec = Standard.fit(Dataset("some", raw, modality="Arrays"))
    z = codec.encode(raw)
    assert z[:, 1].abs().max() == 0
    assert codec.std == pytest.approx(z.double().std(correction=0).item(), rel=1e-5)
    assert torch.equal(codec.decode(torch.randn_like(z))[:, 1], raw[:, 1])


@pytest.mark.parametrize("cls", [Pixels, Standard])
def test_what_never_varies_is_refused(cls):
    raw = torch.full((3, 2, 4, 4), 7, dtype=torch.uint8 if cls is Pixels else torch.float32)
    with pytest.raises(ReverieError, match="nothing to learn"):
        cls.fit(Dataset("flat", raw))


def test_channels_that_were_not_measured_are_refused():
    with pytest.raises(ValueError, match="3 channels were measured, not 2"):
        Standard((0.0,) * 3, (1.0,) * 3).encode(torch.zeros(1, 2, 4))
    with pytest.raises(ValueError, match="one number a channel"):
        Standard((0.0,), (1.0, 2.0))


@pytest.mark.parametrize("codec", variants(codecs, Codec), ids=repr)
def test_every_codec_is_plain_data_and_an_inverse(codec):
    assert construct("codec", codecs, Codec, describe(codec)) == codec
    z = torch.rand(4, len(getattr(codec, "mean", (0,))), 8) * 2 - 1
    raw = codec.decode(z)
    torch.testing.assert_close(codec.encode(codec.decode(codec.encode(raw))), codec.encode(raw), rtol=0, atol=1e-3)
    assert codec.std > 0 and codec.encode(raw).dtype == torch.float32 and raw.shape == z.shape


def test_the_codecs_are_found_by_name():
    assert set(discover(codecs, Codec)) == {"Detail", "Latent", "Pixels", "Standard"}
