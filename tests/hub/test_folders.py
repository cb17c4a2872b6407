"""Folders there and back: diffusers reads what we write, we read what it writes, and what is broken or hostile is refused."""

import json
import shutil

import diffusers
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import reverie
from reverie.cli.app import app
from reverie.codecs.pixels import Pixels
from reverie.conditioning.unconditional import Unconditional
from reverie.core import grids, schedules
from reverie.core.parameterizations import Karras, LogSNR, Noise, Velocity
from reverie.errors import ReverieError
from reverie.hub import export_folder, import_folder, load_folder
from reverie.modalities.images import Images
from reverie.nn.unet import UNet
from reverie.samplers.ddpm import DDPM
from reverie.systems.described import Defaults
from reverie.systems.diffusion import Diffusion

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
STEPS = 8


def system_of(parameterization=Velocity(), schedule=schedules.Cosine(), **network):
    torch.manual_seed(1)
    config = dict(channels=1, levels=(32, 64), blocks=1, attention=(False, True)) | network
    unet = UNet(**config).eval()
    for p in unet.parameters():
        torch.nn.init.normal_(p, std=0.02 if p.ndim == 1 else 0.5 * max(p[0].numel(), 1) ** -0.5)
    defaults = Defaults(DDPM(), grids.Trailing(STEPS, 1000))
    return Diffusion(unet, schedule, parameterization, LogSNR(), Pixels(), Unconditional(), Images(), (1, 16, 16),
                     defaults, {"name": "shapes", "licence": "CC0-1.0"})  # fmt: skip


def drawn(monkeypatch, system, n, seed):
    """Our own noise of samples 0 to n - 1, given to their pipeline draw by draw."""
    from diffusers.pipelines.ddpm import pipeline_ddpm
    from diffusers.schedulers import scheduling_ddpm

    from reverie.core.noise import Seeded

    source, like = Seeded.at(seed, range(n)), torch.empty(n, *system.shape)
    times = iter(grids.Trailing(STEPS, 1000)(system.denoiser.schedule))

    def first(*_, **__):
        return source.draw(like)

    def later(*_, **__):
        t, s = next(times), None
        return source.draw(like, t, s)

    monkeypatch.setattr(pipeline_ddpm, "randn_tensor", first)
    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", later)


def their_pictures(folder, monkeypatch, system, n=2, seed=0):
    pipe = diffusers.DDPMPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    drawn(monkeypatch, system, n, seed)
    found = pipe(batch_size=n, num_inference_steps=STEPS, output_type="np").images
    return torch.from_numpy(found).permute(0, 3, 1, 2) * 255


@pytest.mark.parametrize("parameterization", [Velocity(), Karras(1.0)], ids=repr)
def test_what_we_export_samples_in_their_pipeline_as_it_does_here_and_comes_back(
    parameterization, tmp_path, monkeypatch
):
    system = system_of(parameterization)
    folder = export_folder(system, tmp_path / "theirs")
    back = import_folder(folder, tmp_path / "back")
    again = reverie.load(tmp_path / "back")
    pictures = [one.generate(2, sample_steps=STEPS).raw.float() for one in (back, again)]
    assert torch.equal(*pictures)
    theirs = their_pictures(folder, monkeypatch, system)
    assert pictures[0].std() > 10
    assert (pictures[0] - theirs).abs().max() < 1.5, "a level of 255, and the half that it is rounded by"
    x, t = torch.randn(2, *system.shape), torch.tensor([0.3, 1.0], dtype=torch.float64)[:, None, None, None]
    torch.testing.assert_close(again.denoiser(x, t).x_hat, system.denoiser(x, t).x_hat, rtol=1e-4, atol=1e-4)


def test_a_pipeline_of_theirs_makes_the_same_pictures_here(saved, monkeypatch, unet):
    scheduler = diffusers.DDPMScheduler(timestep_spacing="trailing")
    folder = saved(scheduler)
    system = load_folder(folder)
    ours = system.generate(2, sample_steps=STEPS).raw.float()
    theirs = their_pictures(folder, monkeypatch, system)
    assert ours.std() > 10 and (ours - theirs).abs().max() < 1.5


@pytest.mark.parametrize(
    "config",
    [dict(flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6, downsample_padding=0, attention_head_dim=None), {}],
    ids=["as DDPM's own checkpoints", "plain"],
)
def test_networks_of_either_embedding_are_the_same_function(config, tmp_path):
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=16, block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), **config).eval()  # fmt: skip
    diffusers.DDPMPipeline(network, diffusers.DDPMScheduler()).save_pretrained(tmp_path / "theirs")
    ours = load_folder(tmp_path / "theirs").network
    x, index = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 977.0])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, index), network(x, index).sample, rtol=1e-4, atol=1e-5)


def test_shards_are_one_network(saved, unet):
    folder = saved(diffusers.DDPMScheduler())
    whole = load_folder(folder).network.state_dict()
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2
    sharded = load_folder(folder).network.state_dict()
    assert all(torch.equal(sharded[name], one) for name, one in whole.items())


def rewrite(file, **changed):
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def pickled(folder, unet):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(unet.state_dict(), folder / "unet" / "diffusion_pytorch_model.bin")


def without_a_shard(folder, unet):
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    sorted((folder / "unet").glob("*.safetensors"))[1].unlink()


def with_a_shard_elsewhere(folder, unet):
    without_a_shard(folder, unet)
    index = next((folder / "unet").glob("*.index.json"))
    listed = json.loads(index.read_text())
    index.write_text(json.dumps({"weight_map": dict.fromkeys(listed["weight_map"], "../../secret.safetensors")}))


def misshapen(folder, unet):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | {"conv_in.weight": torch.zeros(3)}, file)


def with_another_tensor(folder, unet):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | {"extra.weight": torch.zeros(3)}, file)


def linked_outside(folder, unet):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder.parent / "away.safetensors").write_bytes(b"")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").symlink_to(folder.parent / "away.safetensors")


BROKEN = {
    "weights that are a pickle": (pickled, "can run code"),
    "a shard that is missing": (without_a_shard, "is not whole"),
    "a shard outside": (with_a_shard_elsewhere, "does not name a file beside it"),
    "a tensor of another shape": (misshapen, "misshapen: conv_in.weight"),
    "a tensor too many": (with_another_tensor, "unexpected: extra.weight"),
    "a link that leads out": (linked_outside, "leads out of it"),
    "a pipeline that nobody knows": (lambda f, u: rewrite(f / "model_index.json", _class_name="Surprise"), "unknown pipeline"),
    "code of its own": (lambda f, u: rewrite(f / "model_index.json", _class_name=["mine", "Pipe"]), "code of its own"),
    "a part from elsewhere": (lambda f, u: rewrite(f / "model_index.json", unet=["os", "system"]), "code from elsewhere"),
    "a part with a path": (lambda f, u: rewrite(f / "model_index.json", **{"../x": ["diffusers", "A"]}), "is called"),
    "another class of network": (lambda f, u: rewrite(f / "model_index.json", unet=["diffusers", "VQModel"]), "says of itself"),
    "remote code": (lambda f, u: rewrite(f / "unet" / "config.json", auto_map={"A": "b.C"}), "auto_map"),
    "a part that is missing": (lambda f, u: shutil.rmtree(f / "scheduler"), "is missing"),
    "10^12 channels": (lambda f, u: rewrite(f / "unet" / "config.json", block_out_channels=[10**12, 64]), "whole number"),
    "a size that is none": (lambda f, u: rewrite(f / "unet" / "config.json", sample_size="large"), "sample_size=large"),
    "a setting of another value": (lambda f, u: rewrite(f / "unet" / "config.json", act_fn="gelu"), "act_fn"),
    "a setting that nobody knows": (lambda f, u: rewrite(f / "unet" / "config.json", surprise=1), "says surprise"),
    "a setting of another kind": (lambda f, u: rewrite(f / "unet" / "config.json", layers_per_block="two"), "blocks"),
    "no folder of theirs": (lambda f, u: (f / "model_index.json").unlink(), "no model_index.json"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_or_hostile_folder_is_refused_with_a_reason_and_nothing_is_written(what, saved, unet, tmp_path):
    spoil, says = BROKEN[what]
    folder = saved(diffusers.DDPMScheduler())
    spoil(folder, unet)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(ReverieError, match=says):
        import_folder(folder, tmp_path / "run")
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    told = CliRunner().invoke(app, ["import", str(folder), "--out", str(tmp_path / "run")])
    assert isinstance(told.exception, ReverieError) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(parameterization=Karras(0.5)), "--parameterization velocity"),
        (dict(parameterization=Noise(), schedule=schedules.LinearVP()), "neither a velocity"),
        (dict(schedule=schedules.Rectified()), "--schedule cosine"),
        (dict(patch=2), "patch"),
        (dict(noise_scale=1.0), "is told"),
    ],
    ids=str,
)
def test_what_their_pipeline_cannot_run_is_not_exported(change, says, tmp_path):
    with pytest.raises(ReverieError, match=says):
        export_folder(system_of(**change), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_commands_go_there_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    system_of().save(tmp_path / "run")
    for arguments, says in (
        (["export", "run", "--to", "diffusers", "theirs"], "from_pretrained"),
        (["import", "theirs", "--out", "back"], "reverie sample back"),
        (["sample", "back", "-n", "2", "--sample-steps", "2", "--out", "pictures"], "grid"),
    ):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0 and says in done.output, done.output
    with pytest.raises(ReverieError, match="not empty"):
        CliRunner().invoke(app, ["import", "theirs", "--out", "back"], catch_exceptions=False)


def test_what_was_imported_is_edited_as_any_other_and_keeps_what_it_must(saved, tmp_path):
    import_folder(saved(diffusers.DDPMScheduler()), tmp_path / "run")
    system = reverie.load(tmp_path / "run")
    picture = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    mask = torch.zeros(16, 16)
    mask[4:9, 3:12] = 1
    found = system.inpaint(picture, mask=(255 * mask).to(torch.uint8).numpy(), sample_steps=4).raw[0]
    assert torch.equal(found[:, mask == 0], picture[:, mask == 0]) and not torch.equal(found, picture)
