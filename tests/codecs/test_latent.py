"""Pictures in the latents of an autoencoder that is a part of the run."""

import json

import pytest
import torch

from reverie.codecs import latent
from reverie.codecs.latent import FOLDER, Latent, by_tiles, identity
from reverie.errors import ReverieError
from reverie.nn.autoencoder import Autoencoder, committed, divergence
from reverie.training.estimate import Live


def network(**options):
    torch.manual_seed(0)
    return Autoencoder(**{"levels": (16, 32), "groups": 8, **options}).eval()


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_an_autoencoder_is_of_any_number_of_axes_and_kinds(spatial, kind):
    one = network(spatial=spatial, channels=2, latent=3, kind=kind, codes=7 if kind == "vq" else 0, levels=(8, 16, 16))
    x = torch.randn(2, 2, *(8, 12, 16)[:spatial])
    z = one.encode(x)
    assert z.shape == (2, 3, *(2, 3, 4)[:spatial]) and one.decode(z).shape == x.shape and one.factor == 4
    x_hat, regular = one(x, torch.randn_like(z))
    assert x_hat.shape == x.shape and regular.shape == (2,)
    (x_hat.square().mean() + regular.mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in one.parameters())


def test_a_gaussian_latent_has_the_divergence_that_an_integral_has():
    mean, log_variance = torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[-0.9]], dtype=torch.float64)
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    p = torch.distributions.Normal(mean[0], (log_variance[0] / 2).exp())
    q = torch.distributions.Normal(0.0, 1.0)
    integral = torch.trapezoid(p.log_prob(x).exp() * (p.log_prob(x) - q.log_prob(x)), x)
    torch.testing.assert_close(divergence(mean, log_variance)[0], integral, rtol=1e-6, atol=1e-8)


def test_codes_are_the_nearest_and_their_gradient_goes_to_the_latent():
    one = network(kind="vq", codes=5, latent=2)
    z = torch.randn(2, 2, 3, 4, requires_grad=True)
    codes, place = one.nearest(z)
    far = (z.movedim(1, -1)[..., None, :] - one.codes.weight).square().sum(-1)
    assert torch.equal(place, far.argmin(-1)) and torch.equal(codes, one.codes.weight[place].movedim(-1, 1))
    straight, loss = committed(z, codes)
    straight.sum().backward(retain_graph=True)
    assert torch.equal(z.grad, torch.ones_like(z)) and (loss > 0).all() and loss.shape == (2,)


def test_latents_are_scaled_and_come_back(tmp_path):
    one = network()
    codec = Latent(4, 2, (0.5, 1.0, 2.0, 4.0), (0.1, 0.0, -0.1, 0.0), identity(one)).use(one)
    raw = torch.randint(0, 256, (2, 3, 8, 12), dtype=torch.uint8)
    z = codec.encode(raw)
    torch.testing.assert_close(z[:, 1], one.encode(raw.float() / 127.5 - 1)[:, 1])
    torch.testing.assert_close(z[:, 2], 2 * (one.encode(raw.float() / 127.5 - 1)[:, 2] + 0.1))
    codec.store(tmp_path)
    again = Latent(codec.channels, codec.factor, codec.scale, codec.shift, codec.sha256)
    again.attach(tmp_path)
    assert torch.equal(again.encode(raw), z) and torch.equal(again.decode(z), codec.decode(z))
    with pytest.raises(ReverieError, match="multiples of 2"):
        codec.encode(raw[..., :7])


@pytest.mark.parametrize(
    ("sha256", "spoil", "says"),
    [
        ("0" * 64, {}, "not the autoencoder that this model was trained with"),
        ("", {}, "which it does not name"),
        (None, {"levels": [16, 2**14, 2**14, 2**14, 2**14]}, "more than any of ours"),
        (None, {"levels": [8, 32]}, "misshapen"),
        (None, {"surprise": 1}, "describes no autoencoder"),
    ],
    ids=["another", "unnamed", "too large", "of another shape", "unknown"],
)
def test_an_autoencoder_that_is_unnamed_or_another_is_refused(sha256, spoil, says, tmp_path):
    one = network()
    Latent(4, 2, sha256=identity(one)).use(one).store(tmp_path)
    config = tmp_path / FOLDER / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | spoil))
    codec = Latent(4, 2, sha256=identity(one) if sha256 is None else sha256)
    codec.attach(tmp_path)
    with pytest.raises(ReverieError, match=says):
        codec.decode(torch.zeros(1, 4, 2, 2))


def test_a_codec_without_a_run_says_so():
    with pytest.raises(ReverieError, match="load the run"):
        Latent().decode(torch.zeros(1, 4, 2, 2))


def test_tiles_of_what_looks_at_nothing_else_make_the_whole(monkeypatch):
    monkeypatch.setattr(latent, "WHOLE", 8)
    monkeypatch.setattr(latent, "TILE", 6)
    z = torch.randn(2, 3, 7, 23, dtype=torch.float64)
    large = lambda x: x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    asked = []
    made = by_tiles(lambda r, c: asked.append((r, c)) or large(z[..., r, c]), (7, 23), 4)
    torch.testing.assert_close(made, large(z))
    assert len(asked) == 2 * 5 and all(r.stop - r.start == c.stop - c.start == 6 for r, c in asked)


def test_the_memory_of_coding_in_tiles_is_that_of_a_tile_whatever_the_picture(monkeypatch):
    monkeypatch.setattr(latent, "WHOLE", 16)
    monkeypatch.setattr(latent, "TILE", 16)
    one = network()
    codec = Latent(4, 2, sha256=identity(one)).use(one)
    peaks = []
    for side in (32, 128):
        raw = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
        for code, x in ((codec.encode, raw), (codec.decode, torch.randn(1, 4, side // 2, side // 2))):
            with Live() as live:
                made = code(x)
            peaks.append(live.most - 3 * 4 * raw.numel())  # the picture itself, in float32, and what is made of it
            assert made.isfinite().all()
    monkeypatch.setattr(latent, "WHOLE", 64)
    with Live() as whole:
        codec.decode(torch.randn(1, 4, 64, 64))
    assert peaks[2] < 1.2 * peaks[0] and peaks[3] < 1.2 * peaks[1] and whole.most > 5 * peaks[3]
