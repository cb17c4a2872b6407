"""A trained run taught something new: what is learned, what stays, what is written, and what is refused."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import called, refused
from PIL import Image
from safetensors.torch import load_file

pytest.importorskip("transformers")
sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("conditioning", "hub")]

from small_text import put  # noqa: E402

import reverie  # noqa: E402
from reverie.conditioning.text import unpacked  # noqa: E402
from reverie.core.noise import Seeded, stream  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub.adapters import apply, read_adapter  # noqa: E402
from reverie.nn.lowrank import merged, taken  # noqa: E402
from reverie.recipes import session  # noqa: E402
from reverie.recipes.adapt import Adapt  # noqa: E402

NETWORK = "unet(levels=(16, 32), blocks=1, groups=8, head_size=16, attention=(False, True))"
BASE = ["--samples", "2048", "--warmup", "256", "--network", NETWORK, "--dtype", "float32", "--compile", "off",
        "--checkpoints", "1", "--snapshots", "1", "--sample-steps", "6"]  # fmt: skip
SMALL = {"samples": 128, "batch": 8, "warmup": 16, "dtype": "float32", "checkpoints": 2, "rank": 4}


def pictures(folder, level, count=8, noise=8, channels=3, side=8, seed=0):
    folder.mkdir(parents=True)
    draw, shape = np.random.default_rng(seed), (side, side, channels)[: 3 if channels == 3 else 2]
    for i in range(count):
        values = (np.broadcast_to(level, shape[-1:] if channels == 3 else ()) + draw.normal(0, noise, shape)).clip(
            0, 255
        )
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An encoder in a cache, a run that learned dark and bright hearts, and pictures of red ones."""
    folder = tmp_path_factory.mktemp("adapt")
    put(folder / "cache")
    for word, level in (("dark", 30), ("bright", 220)):
        pictures(folder / word, level, 24)
        for path in (folder / word).glob("*.png"):
            (folder / "known").mkdir(exist_ok=True)
            shutil.copy(path, folder / "known" / f"{word}-{path.name}")
            (folder / "known" / f"{word}-{path.stem}.txt").write_text(f"a {word} heart")
    pictures(folder / "red", (220, 20, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVERIE_CACHE", str(folder / "cache"))
        called("train", "text_to_image", folder / "known", *BASE, "--out", folder / "base")
        yield folder


def recipe(place, **more):
    usual = {"data": str(place / "red"), "source": str(place / "base"), "prompt": "a red heart", **SMALL}
    return Adapt(**usual | more)


@pytest.fixture(scope="module")
def run(place):
    return recipe(place, samples=1536, learning_rate=5e-3).run(place / "run")


def colour(system, prompt):
    """Mean of each channel of a few samples."""
    return system.generate(6, seed=3, condition=prompt, sample_steps=8).raw.float().mean((0, 2, 3))


def test_it_learns_what_it_was_shown_and_its_file_is_the_difference(place, run):
    base, adapted = reverie.load(place / "base"), reverie.load(run)
    red = torch.tensor([220.0, 20.0, 20.0])
    before, after = ((colour(one, "a red heart") - red).abs().mean() for one in (base, adapted))
    assert after < 40 and after < before / 2
    added = reverie.load(place / "base")
    apply(added, [(read_adapter(run / "adapter.safetensors", added), 1.0)])
    for name, tensor in adapted.network.state_dict().items():
        torch.testing.assert_close(added.network.state_dict()[name], tensor, atol=1e-6, rtol=1e-6)
    weights, file = (path.stat().st_size for path in (run / "weights/ema.safetensors", run / "adapter.safetensors"))
    assert file < weights
    assert not list(run.glob("ema/*"))
    about = json.loads((run / "model.json").read_text())["about"]
    assert about["from"]["name"] == "base" and about["from"]["sha256"] == base.weights_hash
    assert "starts from | base" in (run / "README.md").read_text()
    assert str(place) not in (run / "recipe.json").read_text()


def test_half_of_it_lies_between(place, run):
    halves = [reverie.load(place / "base") for _ in range(3)]
    for system, scale in zip(halves, (0.0, 0.5, 1.0)):
        apply(system, [(read_adapter(run / "adapter.safetensors", system), scale)])
    none, half, whole = (dict(one.network.named_parameters()) for one in halves)
    for name in none:
        torch.testing.assert_close(half[name], (none[name] + whole[name]) / 2, atol=1e-6, rtol=1e-5)


def test_before_the_first_update_it_is_the_run_it_starts_from(place):
    small = recipe(place, dtype="float32", learning_rate=1e-3)
    data, base = small.loaded(), reverie.load(place / "base")
    system = small.system(data)
    assert {name for name, p in system.network.named_parameters() if not p.requires_grad} >= set(
        merged(system.network.state_dict())
    ) - {f"{name}.weight" for name in taken(system.network.state_dict())}
    x, told = base.codec.encode(data.raw[:4]), base.conditioner({"prompt": data.values["prompt"][:4]})
    losses = [small.loss(one)(x, noise=Seeded.at(0, range(4)), **told) for one in (base, system)]
    assert torch.equal(*losses)


def stopped_and_resumed(recipe, run, seen, monkeypatch):
    """Trains until so many samples were seen, is interrupted, and goes on by the command."""
    kept = session.train

    def stopped(*arguments, **options):
        for step in kept(*arguments, **options):
            yield step
            if step.seen >= seen:
                raise KeyboardInterrupt

    monkeypatch.setattr(session, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        recipe.run(run)
    monkeypatch.setattr(session, "train", kept)
    called("train", "--resume", run)


def test_training_that_was_stopped_ends_in_the_same_bytes(place, tmp_path, monkeypatch):
    small = recipe(place, prior_samples=6, prior="a dark heart")
    whole = small.run(tmp_path / "whole")
    stopped_and_resumed(small, tmp_path / "stopped", 96, monkeypatch)
    called("train", whole / "recipe.json", "--out", tmp_path / "again")
    for other in ("stopped", "again"):
        for name in ("weights/ema.safetensors", "weights/raw.safetensors", "adapter.safetensors", "model.json"):
            assert (whole / name).read_bytes() == (tmp_path / other / name).read_bytes(), (other, name)


def test_prior_samples_are_the_runs_own_and_as_many_as_asked(place):
    small = recipe(place, prior_samples=12, prior="a dark heart", prior_share=0.25)
    data = small.loaded()
    said = unpacked(data.values["prompt"])
    assert (
        len(data) == 8 * 4 + 12
    )  # a quarter of the samples, the pictures as often as it takes: round(12 * 3 / 8) = 4 times
    assert said.count("a red heart") == 32 and said.count("a dark heart") == 12
    base = reverie.load(place / "base")
    own = data.raw[torch.tensor([i for i, one in enumerate(said) if one == "a dark heart"])]
    made = base.generate(12, seed=stream(small.seed, "prior") % 2**32, condition="a dark heart")
    assert torch.equal(own, made.raw)
    assert own.float().mean() < 90  # as dark as what they are of


def test_the_prior_keeps_what_was_known(place, tmp_path):
    """Of what it learned before it forgets less: the loss on it is nearer to the one before."""
    known = Adapt(data=str(place / "dark"), source=str(place / "base"), prompt="a dark heart", **SMALL)
    data, base = known.loaded(), reverie.load(place / "base")

    def loss_of(system):
        x, told = base.codec.encode(data.raw), base.conditioner(data.values)
        with torch.no_grad():
            return known.loss(system)(x, noise=Seeded.at(9, range(len(x))), **told).item()

    # the same prompt as what is new: what is learned contradicts what is known
    more = {"samples": 512, "learning_rate": 5e-3, "prompt": "a dark heart"}
    without = recipe(place, **more).run(tmp_path / "without")
    with_it = recipe(place, prior_samples=24, prior="a dark heart", **more).run(tmp_path / "with")
    before, lost, kept = (loss_of(one) for one in (base, reverie.load(without), reverie.load(with_it)))
    assert before < kept < lost
    assert kept - before < (lost - before) / 2


def test_a_run_of_classes_and_one_that_is_told_nothing_are_adapted_too(place, tmp_path):
    crosses = pictures(tmp_path / "new" / "3", 128, 6, 60, channels=1)
    pictures(tmp_path / "new" / "5", 128, 2, 60, channels=1)
    called("train", "adapt", crosses.parent, "--from", "digits", "--samples", "16", "--warmup", "8", "--dtype", "float32",
           "--checkpoints", "1", "--out", tmp_path / "labels")  # fmt: skip
    data = Adapt(data=str(crosses.parent), source="digits").loaded()
    assert data.values["label"].tolist() == [3] * 6 + [5] * 2
    assert reverie.load(tmp_path / "labels").conditioner == reverie.load("digits").conditioner
    flat = Adapt(data=str(crosses), source="digits").loaded()
    assert flat.values["label"].tolist() == [-1] * 6
    pictures(tmp_path / "none", 128, 24, 60, channels=1)
    called("train", tmp_path / "none", "--samples", "64", "--network", "unet(levels=(16, 16), blocks=1, groups=8)", "--dtype",
           "float32", "--compile", "off", "--checkpoints", "1", "--out", tmp_path / "plain")  # fmt: skip
    called("train", "adapt", crosses, "--from", tmp_path / "plain", "--samples", "16", "--warmup", "8", "--prior-samples", "4",
           "--dtype", "float32", "--checkpoints", "1", "--out", tmp_path / "unconditional")  # fmt: skip
    adapted = reverie.load(tmp_path / "unconditional")
    assert adapted.defaults.weak == "" and adapted.generate(2, sample_steps=2).raw.shape == (2, 1, 8, 8)
    assert reverie.load(tmp_path / "plain").defaults.weak == "early"
    called(
        "adapter",
        "merge",
        tmp_path / "plain",
        tmp_path / "unconditional" / "adapter.safetensors",
        "--out",
        tmp_path / "m",
    )
    merged_run = reverie.load(tmp_path / "m")
    torch.testing.assert_close(
        merged_run.generate(2, sample_steps=2).raw, adapted.generate(2, sample_steps=2).raw, atol=1, rtol=0
    )


def test_stable_diffusion_is_adapted_in_its_latents_and_diffusers_reads_the_file(tmp_path):
    diffusers, _ = pytest.importorskip("diffusers"), pytest.importorskip("peft")
    from small_diffusion import stable_diffusion

    scheduler = diffusers.DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
                                        set_alpha_to_one=False, steps_offset=1)  # fmt: skip
    stable_diffusion(tmp_path, scheduler).save_pretrained(tmp_path / "theirs")
    called("import", tmp_path / "theirs", "--out", tmp_path / "sd")
    pictures(tmp_path / "new", (220, 20, 20), 4, side=16)
    made = recipe(tmp_path, data=str(tmp_path / "new"), source=str(tmp_path / "sd"), samples=32).run(tmp_path / "run")
    settled = json.loads((made / "recipe.json").read_text())["options"]
    assert (settled["layers"], settled["density"], settled["weight"]) == (
        "*.blocks.*.own, *.blocks.*.cross",
        "discrete(count=1000)",
        "simple",
    )
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "theirs")
    pipe.load_lora_weights(made, weight_name="adapter.safetensors")
    system = reverie.load(made)
    noise = torch.Generator().manual_seed(1)
    z, at = torch.randn(2, *system.shape, generator=noise), torch.tensor([17.0, 801.0])
    told = system.conditioner(system.conditioner.parse(["a red heart", "a cat"]))
    with torch.no_grad():
        torch.testing.assert_close(
            system.network(z, at, **told), pipe.unet(z, at, told["tokens"]).sample, atol=2e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"source": ""}, "give --from RUN"),
        ({"rank": 0}, "the rank is from 1"),
        ({"alpha": -1.0}, "alpha is a number above 0"),
        ({"snapshots": 4}, "leave out --snapshots"),
        ({"prior": "a cat"}, "say how many"),
        ({"prior_samples": 4}, "say what the model's own samples are of"),
        ({"prompt": ""}, "without a caption"),
        ({"layers": "nowhere.*"}, "names no linear map"),
        ({"size": 32}, "leave out --size"),
        ({"data": "nowhere"}, "is not a folder of pictures"),
        ({"source": "fashion_mnist", "prompt": ""}, "channels"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(place, tmp_path, more, says):
    with pytest.raises(ReverieError, match=says):
        recipe(place, **more).run(tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_another_base_is_not_taken_for_the_one_that_was_adapted(place, run, tmp_path):
    other = shutil.copytree(place / "base", tmp_path / "other")
    shutil.copy(other / "weights/raw.safetensors", other / "weights/ema.safetensors")
    assert "are not those of base" in refused("train", run / "recipe.json", "--from", other, "--out", tmp_path / "no")
    for name in ("cats", "3"):
        pictures(tmp_path / "classes" / name, 20, 4, channels=1)
    with pytest.raises(ReverieError, match="knows no class called"):
        Adapt(data=str(tmp_path / "classes"), source="digits").loaded()
    with pytest.raises(ReverieError, match="reads no text"):
        replace(Adapt(data=str(tmp_path / "classes"), source="digits"), prompt="a cat").loaded()


def words_of(place, **more):
    usual = {
        "word": "<new>",
        "like": "red",
        "prompt": "a <new> heart",
        "rank": 0,
        "samples": 256,
        "learning_rate": 3e-2,
    }
    return recipe(place, **usual | more)


def test_a_new_word_is_learned_through_the_encoder_and_nothing_else_moves(place, tmp_path):
    """What it is told is as bright as what it was shown, of prompts that the network knows already."""
    made = words_of(place, data=str(place / "bright"), like="dark", samples=1024).run(tmp_path / "run")
    base, system = reverie.load(place / "base"), reverie.load(made)
    for name, tensor in base.network.state_dict().items():
        assert torch.equal(system.network.state_dict()[name], tensor)
    before, after = colour(base, "a dark heart").mean(), colour(system, "a <new> heart").mean()
    assert before < 90 < 150 < after
    assert torch.equal(colour(system, "a dark heart"), colour(base, "a dark heart"))
    assert not (made / "adapter.safetensors").exists()
    assert load_file(made / "words.safetensors")["<new>"].shape == (1, 16)
    called("adapter", "word", place / "base", made / "words.safetensors", "--out", tmp_path / "worded")
    told = [reverie.load(run).conditioner.encoded(["a <new> heart"]).tokens for run in (made, tmp_path / "worded")]
    assert torch.equal(*told)
    assert "knows <new> already" in refused(
        "adapter", "word", made, made / "words.safetensors", "--out", tmp_path / "no"
    )
    called("sample", made, "--prompt", "a <new> heart", "-n", "2", "--sample-steps", "2", "--out", tmp_path / "made")
    assert "2 of 2 match" in called("replay", tmp_path / "made" / "samples.json", "--model", made)


def test_several_vectors_beside_changes_of_the_network_stopped_and_resumed(place, tmp_path, monkeypatch):
    small = words_of(place, rank=2, vectors=3, samples=96)
    whole = small.run(tmp_path / "whole")
    stopped_and_resumed(small, tmp_path / "stopped", 64, monkeypatch)
    for name in (
        "weights/ema.safetensors",
        "words.safetensors",
        "adapter.safetensors",
        "parts/minilm/model.safetensors",
    ):
        assert (whole / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes(), name
    vectors = load_file(whole / "words.safetensors")["<new>"]
    assert vectors.shape == (3, 16)
    system = reverie.load(whole)
    from reverie.conditioning.encoders import frozen

    network, tokenizer = frozen("BertModel", *system.conditioner.place(system.conditioner.encoders[0]))
    places = tokenizer.convert_tokens_to_ids(["<new>", "<new>_1", "<new>_2"])
    torch.testing.assert_close(network.get_input_embeddings().weight[places], vectors)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"word": "cat"}, "in brackets"),
        ({"like": ""}, "starts --like one"),
        ({"like": "zebra"}, "knows nothing like"),
        ({"vectors": 0}, "has 1 to 64 vectors"),
        ({"workers": 1}, "learned with no"),
        ({"prompt": "a red heart"}, "has <new> in it"),
        ({"word": ""}, "or 0 where only a --word"),
        ({"word": "", "rank": 2}, "are about a new word"),
    ],
)
def test_a_word_that_cannot_be_is_refused(place, tmp_path, more, says):
    with pytest.raises(ReverieError, match=says):
        words_of(place, **more).run(tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_the_doctor_finds_the_weights_that_its_checkpoint_holds(run):
    told = called("doctor", run, "--only", "files")
    assert told.count("is what the checkpoint at 1,536 samples holds") == 2 and "FAULT" not in told
