"""Autoencoders of pictures: trained from one command, standardised, measured, and what learns in their latents."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from commands import called, refused
from PIL import Image
from safetensors.torch import load_file, save_file

import reverie
from reverie.cli.app import app
from reverie.codecs.latent import Latent, identity
from reverie.core.noise import Seeded
from reverie.errors import ReverieError
from reverie.features.efficientnet import Lite0
from reverie.features.perceptual import Perceptual
from reverie.metrics.pairs import psnr
from reverie.nn.autoencoder import Autoencoder as Network
from reverie.nn.discriminator import Discriminator
from reverie.recipes import session
from reverie.recipes.autoencoder import Autoencoder
from reverie.recipes.evaluating import data_of
from reverie.recipes.latents import latents
from reverie.recipes.opening import pictures
from reverie.recipes.reconstruction import Reconstruction, Rivalry
from reverie.recipes.shipping import ship

SMALL = ["--levels", "16,32", "--perceptual", "0", "--samples", "4096", "--batch", "16", "--warmup", "64", "--dtype", "float32",
         "--checkpoints", "2", "--snapshots", "2"]  # fmt: skip
LEARN = ["--samples", "256", "--warmup", "64", "--network", "unet(levels=(16, 16), blocks=1, groups=8)", "--dtype", "float32",
         "--compile", "off", "--checkpoints", "1", "--snapshots", "1", "--sample-steps", "3", "--self-guidance", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of discs of a colour on a colour, a cache, and the autoencoder that learned them, with a rival."""
    folder = tmp_path_factory.mktemp("discs")
    (folder / "pictures").mkdir()
    draw, (y, x) = np.random.default_rng(0), np.mgrid[:16, :16]
    for i in range(96):
        inside = (x - draw.uniform(4, 12)) ** 2 + (y - draw.uniform(4, 12)) ** 2 < draw.uniform(2, 6) ** 2
        picture = np.where(inside[..., None], draw.integers(0, 256, 3), draw.integers(0, 256, 3)).astype(np.uint8)
        Image.fromarray(picture).save(folder / "pictures" / f"{i:03d}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVERIE_CACHE", str(folder / "cache"))
        made = called("train", "autoencoder", folder / "pictures", *SMALL, "--held-out", "16", "--adversarial", "0.1",
                      "--out", folder / "ae")  # fmt: skip
        assert "reverie train DATA --codec" in made
        called("train", folder / "pictures", "--codec", folder / "ae", *LEARN, "--out", folder / "latent")
        yield folder


def test_it_gives_back_what_it_never_saw_and_its_latents_are_standardised(place):
    system = reverie.load(place / "ae")
    data = pictures(str(place / "pictures"))
    train, test = data.split(16)
    mean = train.raw.float().mean((0, 2, 3), keepdim=True).expand_as(test.raw.float())
    assert psnr(system.reconstruct(test.raw), test.raw).mean() > psnr(mean, test.raw).mean() + 4
    z = system.latent.encode(train.raw)
    assert z.shape == (80, 4, 8, 8)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    assert system.bits == 16 * 4 / 4 and len(list((place / "ae" / "samples").glob("*-ema.png"))) == 2


def test_it_says_what_it_is_and_how_good_and_makes_nothing_of_its_own(place, tmp_path):
    run = shutil.copytree(place / "ae", tmp_path / "ae")
    assert "4x8x8, 16 bits a pixel" in called("info", run)
    shown = called("evaluate", run, "-n", "16", "--out", tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert "psnr" in shown and "cubic" in shown and found["figures"]["bits a pixel"]["value"] == 16
    test = pictures(str(place / "pictures")).split(16)[1]
    truth = psnr(reverie.load(run).reconstruct(test.raw), test.raw).mean().item()
    assert found["figures"]["psnr"]["value"] == pytest.approx(truth)
    called("evaluate", run, "-n", "16")
    assert "| psnr |" in (run / "README.md").read_text()
    assert "--codec RUN" in refused("sample", run)
    for command in (["edit", "vary", run, "--image", place / "pictures" / "000.png"],
                    ["export", run, "--to", "diffusers", tmp_path / "out"]):  # fmt: skip
        assert "nothing of its own" in refused(*command)


def test_training_that_was_stopped_ends_in_the_same_bytes_its_rival_too(place, tmp_path, monkeypatch):
    recipe = Autoencoder(data=str(place / "pictures"), samples=512, warmup=64, levels="8,16", perceptual=0.0, dtype="float32",
                         adversarial=0.05, checkpoints=4, snapshots=4, kind="vq", codes=16)  # fmt: skip
    whole, kept = recipe.run(tmp_path / "whole"), session.train

    def stopped(*arguments, **options):
        for step in kept(*arguments, **options):
            yield step
            if step.seen >= 320:
                raise KeyboardInterrupt

    monkeypatch.setattr(session, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        recipe.run(tmp_path / "stopped")
    monkeypatch.setattr(session, "train", kept)
    recipe.run(tmp_path / "stopped", resume=True)
    for name in ("weights/ema.safetensors", "weights/raw.safetensors", "model.json"):
        assert (whole / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    tensors = next((whole / "checkpoints").glob("*512")).glob("*rival*")
    for path in tensors:
        assert path.read_bytes() == (tmp_path / "stopped" / path.relative_to(whole)).read_bytes()
    assert reverie.load(whole).bits == 4 / 4


def test_what_learns_in_latents_is_whole_alone_and_does_the_same_again(place, tmp_path):
    run = place / "latent"
    settled, described = (json.loads((run / name).read_text()) for name in ("recipe.json", "model.json"))
    assert settled["codec"]["name"] == "ae" and str(place) not in (run / "recipe.json").read_text()
    assert described["shape"] == [4, 8, 8] and described["codec"]["name"] == "Latent"
    shutil.copytree(run, tmp_path / "moved")
    pictures = reverie.load(tmp_path / "moved").generate(3, sample_steps=2).raw
    assert pictures.shape == (3, 3, 16, 16) and pictures.float().std() > 1
    called("sample", tmp_path / "moved", "-n", "2", "--sample-steps", "2", "--out", tmp_path / "made")
    assert "2 of 2 match" in called("replay", tmp_path / "made" / "samples.json", "--model", tmp_path / "moved")
    called("train", run / "recipe.json", "--out", tmp_path / "again")
    assert (tmp_path / "again/weights/raw.safetensors").read_bytes() == (run / "weights/raw.safetensors").read_bytes()
    picture = place / "pictures" / "000.png"
    called(
        "edit",
        "vary",
        run,
        "--image",
        picture,
        "--strength",
        "0.3",
        "--sample-steps",
        "2",
        "--out",
        tmp_path / "varied",
    )


def test_latents_are_computed_once(place, monkeypatch):
    data = pictures(str(place / "pictures"))
    codec = reverie.load(place / "latent").codec
    found = latents(data, codec)
    torch.testing.assert_close(found, codec.encode(data.raw), rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(Latent, "encode", lambda self, raw: pytest.fail("coded again"))
    assert torch.equal(latents(data, codec), found)
    monkeypatch.setenv("REVERIE_MEMORY", "0.000001")
    assert torch.equal(latents(data, codec)[torch.arange(96)], found)


def test_another_autoencoder_is_not_taken_for_the_one_of_a_recipe(place, tmp_path):
    other = shutil.copytree(place / "ae", tmp_path / "other")
    tensors = load_file(other / "weights/ema.safetensors")
    save_file({name: one * 1.01 for name, one in tensors.items()}, other / "weights/ema.safetensors")
    recipe = place / "latent" / "recipe.json"
    assert "not the one of this recipe" in refused("train", recipe, "--codec", other, "--out", tmp_path / "no")
    save_file({name: one * 1.01 for name, one in tensors.items()}, tmp_path / "model.safetensors")
    copied = shutil.copytree(place / "latent", tmp_path / "latent")
    shutil.copy(tmp_path / "model.safetensors", copied / "parts/codec/model.safetensors")
    with pytest.raises(ReverieError, match="is not the autoencoder that this model was trained with"):
        reverie.load(copied).generate(1, sample_steps=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--codec", "digits"], "is no autoencoder"),
        (["--codec", "{ae}", "--augment", "0.1"], "leave out --augment"),
        (["--codec", "{ae}", "--size", "15"], "multiples of 2"),
    ],
)
def test_what_cannot_be_learned_in_latents_is_refused_before_a_folder_is_made(options, says, place, tmp_path):
    options = [one.format(ae=place / "ae") for one in options]
    assert says in refused("train", place / "pictures", *options, *LEARN, "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": [1.0, 2.0]}, "of one number, or of 4"),
        ({"scale": "wide"}, "a list of numbers"),
        ({"autoencoder": {"levels": [2**14] * 10}}, "more than any of ours"),
        ({"autoencoder": {"depth": 3}}, "describes no autoencoder"),
        ({"shape": [3, 15, 15]}, "none of 3x15x15"),
        ({"more": 1}, "key of model.json"),
    ],
    ids=str,
)
def test_a_description_of_no_autoencoder_is_refused(change, says, place, tmp_path):
    run = shutil.copytree(place / "ae", tmp_path / "ae")
    path = run / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ReverieError, match=says):
        reverie.load(run)


def test_the_losses_of_the_two_sides_are_what_the_papers_say(place):
    torch.manual_seed(0)
    system = reverie.load(place / "ae")
    system.network.requires_grad_(True)
    rival = Discriminator(levels=(8, 16))
    x, noise = torch.rand(4, 3, 16, 16) * 2 - 1, lambda: Seeded.at(0, range(4), "train")
    side = Reconstruction(system, torch.float32, 0.3, rival=rival, adversarial=0.2)
    x_hat, regular = side.made(x, noise())
    near, last = (x_hat - x).abs().mean(), system.network.decoder.head.weight
    own, theirs = (torch.autograd.grad(part, last, retain_graph=True)[0].norm() for part in (near, rival(x_hat).mean()))
    truth = near + 0.3 * regular.mean() / 768 - 0.2 * own / theirs * rival(x_hat).mean()
    loss = side(x, noise())
    torch.testing.assert_close(loss, truth)
    loss.backward()
    assert all(p.grad is None for p in rival.parameters()) and all(p.requires_grad for p in rival.parameters())
    assert {id(p) for p in side.parameters()} == {id(p) for p in system.network.parameters()}
    system.network.zero_grad()
    other = Rivalry(rival, side)(x, noise())
    torch.testing.assert_close(other, (1 - rival(x)).clamp(min=0).mean() + (1 + rival(x_hat)).clamp(min=0).mean())
    other.backward()
    assert all(p.grad is None or not p.grad.any() for p in system.network.parameters())
    assert all(p.grad is not None for p in rival.parameters())


def test_what_looks_alike_is_near_and_gradients_lead_there(tmp_path):
    torch.manual_seed(0)
    save_file(Lite0().state_dict(), tmp_path / "weights.safetensors")
    eyes = Perceptual(tmp_path / "weights.safetensors").train()
    assert not eyes.training
    x, noise = torch.rand(2, 3, 32, 32) * 2 - 1, torch.randn(2, 3, 32, 32)
    near, far = eyes(x, (x + 0.02 * noise).clamp(-1, 1)), eyes(x, (x + 0.5 * noise).clamp(-1, 1))
    assert eyes(x, x).abs().max() == 0 and (near < far).all() and (far < 4).all()
    torch.testing.assert_close(eyes(x[:1], x[:1] + 0.1), eyes(x, x + 0.1)[:1])
    y = (x + 0.1 * noise).clamp(-1, 1).requires_grad_()
    eyes(y, x).sum().backward()
    assert y.grad.isfinite().all() and (eyes((y - 1e-2 * y.grad / y.grad.norm()).detach(), x).sum() < eyes(y, x).sum())
    with pytest.raises(ReverieError, match="not of 2 channels"):
        eyes(x[:, :2], x[:, :2])


def test_a_recipe_of_no_autoencoder_is_refused():
    recipe = Autoencoder(data="emoji")
    for change, says in (({"kind": "gan"}, "kind of latent"), ({"levels": "8,x"}, "no such autoencoder"),
                         ({"regular": -1.0}, "a weight of 0 or more"), ({"latent": 0}, "no such autoencoder")):  # fmt: skip
        with pytest.raises(ReverieError, match=says):
            replace(recipe, **change).checked()
    replace(recipe, adversarial=0.5).shared_among(1)
    with pytest.raises(ReverieError, match="by one process alone"):
        replace(recipe, adversarial=0.5).shared_among(2)
    assert Network(**recipe.config(3)).factor == 4 and Path(recipe.data).name == "emoji"


def test_the_doctor_examines_what_learns_in_latents(place):
    arguments = ["doctor", str(place / "latent"), "--only", "encoding", "--only", "denoising"]
    shown = CliRunner().invoke(app, arguments).output
    assert "could not be examined" not in shown and "the spread of z is" in shown, shown
    assert "pictures come back from the latents at" in shown and "decode(encode(raw)) is off" not in shown, shown
    assert "no better than a linear guess" in shown, "256 samples are few"


def test_squares_cut_out_of_larger_pictures_are_learned_and_whole_pictures_held_out(tmp_path):
    draw, photos = np.random.default_rng(0), tmp_path / "photos"
    photos.mkdir()
    for i, (high, wide) in enumerate([(40, 56), (33, 48), (50, 34)]):
        Image.fromarray(draw.integers(0, 256, (high, wide, 3), dtype=np.uint8)).save(photos / f"{i}.png")
    how = ["--cut", "--size", 16, "--held-out", 1, *SMALL[:4], "--samples", 64, "--batch", 8, "--dtype", "float32"]
    called("train", "autoencoder", photos, *how, "--out", tmp_path / "run")
    data = data_of(str(tmp_path / "run"))[0]
    assert len(data) == 2 * 3 + 2 * 3 and len(data.test) == 3 * 2
    last = torch.from_numpy(np.asarray(Image.open(photos / "2.png")).transpose(2, 0, 1).copy())
    assert torch.equal(data.test.raw[3], last[:, 16:32, 16:32])
    assert f"{len(data.test)} samples" in called("evaluate", tmp_path / "run", "--out", tmp_path / "found.json")
    assert "which --cut takes squares from" in refused(
        "train", "autoencoder", "emoji", "--cut", "--out", tmp_path / "no"
    )
    called("train", "autoencoder", photos, *how, "--shrink", 2, "--out", tmp_path / "half")
    half = data_of(str(tmp_path / "half"))[0]
    assert len(half) == 1 + 1 and len(half.test) == 1
    means = last[:, :32, :32].float().unflatten(1, (16, 2)).unflatten(3, (16, 2)).mean((2, 4))
    assert (half.test.raw[0] - means).abs().max() <= 0.5
    for options, why in ((("--cut", "--shrink", 0), "1 to 64"), (("--shrink", 2), "say --cut")):
        assert why in refused("train", "autoencoder", photos, *options, "--size", 16, "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_shipped_run_brings_its_autoencoder_in_half_precision_too(place, tmp_path):
    small, whole = ship(place / "latent", tmp_path / "small"), place / "latent"
    for name in ("weights/ema.safetensors", "parts/codec/model.safetensors"):
        assert (small / name).stat().st_size < 0.55 * (whole / name).stat().st_size
    a, b = (reverie.load(run) for run in (small, whole))
    assert a.codec.sha256 == identity(a.codec.network) != b.codec.sha256
    a, b = (one.generate(8, sample_steps=4).raw.int() for one in (a, b))
    assert (a - b).abs().float().mean() < 1.5  # of 255 levels
    shutil.copyfile(whole / "parts/codec/model.safetensors", small / "parts/codec/model.safetensors")
    with pytest.raises(ReverieError, match="is not the autoencoder that this model was trained with"):
        reverie.load(small).generate(1, sample_steps=1)
