"""Checkpoints in one file, in the original layout: what diffusers makes of them, and what is refused."""

import shutil

import diffusers
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

transformers = pytest.importorskip("transformers")

from small_diffusion import stable_diffusion, stable_diffusion_xl  # noqa: E402

import reverie  # noqa: E402
from reverie.cli.app import app  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub import load_folder  # noqa: E402
from reverie.hub.autoencoders import coder_config  # noqa: E402
from reverie.hub.folders import read_folder  # noqa: E402
from reverie.hub.original import to_open_clip  # noqa: E402
from reverie.hub.single import coder_names, import_file, unet_names  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers"
)
DDIM = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False,
        "set_alpha_to_one": False, "steps_offset": 1}  # fmt: skip
BUILDS = {
    "1": lambda folder: stable_diffusion(folder, diffusers.DDIMScheduler(**DDIM)),
    "2": lambda folder: stable_diffusion(folder, diffusers.DDIMScheduler(**DDIM), use_linear_projection=True),
    "XL": lambda folder: stable_diffusion_xl(folder, diffusers.DDIMScheduler(**DDIM)),
}


def weights_of(folder, part):
    return load_file(next(path for path in (folder / part).glob("*.safetensors")))


def file_of(version, folder, path):
    """The file that the original code would have saved: convolutions where it had some, and what else it saves."""
    like = read_folder(folder)
    config, *_ = coder_config(like.parts["vae"])
    tensors = {}
    for part, prefix, names in (
        ("unet", "model.diffusion_model.", unet_names(like, 4)),
        ("vae", "first_stage_model.", coder_names(config)),
    ):
        for name, tensor in weights_of(folder, part).items():
            attends = part == "vae" and ".attentions." in name and tensor.ndim == 2
            tensors[prefix + names[name]] = tensor[:, :, None, None].contiguous() if attends else tensor
    text = weights_of(folder, "text_encoder")
    text = {name if name.startswith("text_model.") else f"text_model.{name}": one for name, one in text.items()}
    if version == "1":
        tensors |= {f"cond_stage_model.transformer.{name}": one for name, one in text.items()}
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    elif version == "2":
        last = {name.replace("layers.2", "layers.3"): one + 1 for name, one in text.items() if "layers.2." in name}
        tensors |= {f"cond_stage_model.model.{name}": one for name, one in to_open_clip(text | last).items()}
        tensors |= {
            "cond_stage_model.model.text_projection": torch.zeros(32, 32),
            "cond_stage_model.model.logit_scale": torch.ones(()),
        }
    else:
        tensors |= {f"conditioner.embedders.0.transformer.{name}": one for name, one in text.items()}
        second = to_open_clip(weights_of(folder, "text_encoder_2"))
        tensors |= {f"conditioner.embedders.1.model.{name}": one for name, one in second.items()}
    tensors |= {"betas": torch.zeros(1000), "model_ema.decay": torch.ones(())}
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module", params=BUILDS)
def made(request, tmp_path_factory):
    """(version, the file, the folder in diffusers' layout, a copy of it without any weights)."""
    folder = tmp_path_factory.mktemp("single")
    BUILDS[request.param](folder).save_pretrained(folder / "theirs")
    path = file_of(request.param, folder / "theirs", folder / "model.safetensors")
    shutil.copytree(folder / "theirs", folder / "like", ignore=shutil.ignore_patterns("*.safetensors"))
    return request.param, path, folder / "theirs", folder / "like"


def test_it_makes_what_the_folder_makes(made, tmp_path):
    version, path, folder, like = made
    done = CliRunner().invoke(
        app, ["import", str(path), "--like", str(like), "--out", str(tmp_path / "run")], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    truth, found = load_folder(folder), reverie.load(tmp_path / "run")
    for name, tensor in truth.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], tensor), name
    ours, theirs = (one.generate(2, condition="a red heart", sample_steps=2).raw for one in (found, truth))
    assert torch.equal(ours, theirs)


@torch.no_grad()
def test_diffusers_reads_the_same_out_of_that_file(made):
    """Its own reader of such files, so that the names are not ours alone."""
    version, path, folder, like = made
    unet = diffusers.UNet2DConditionModel.from_single_file(
        str(path), config=str(like), subfolder="unet", local_files_only=True
    )
    vae = diffusers.AutoencoderKL.from_single_file(str(path), config=str(like), subfolder="vae", local_files_only=True)
    for part, network in (("unet", unet), ("vae", vae)):
        truth = weights_of(folder, part)
        found = network.state_dict()
        assert found.keys() == truth.keys()
        for name, tensor in truth.items():
            assert torch.equal(found[name], tensor), name


def spoiled(path, target, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, target)
    return target


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda t: t.pop("model.diffusion_model.input_blocks.0.0.weight"),
            r"lacks model\.diffusion_model\.input_blocks",
        ),
        (lambda t: t.pop("first_stage_model.decoder.conv_in.bias"), r"lacks first_stage_model\.decoder\.conv_in"),
        (lambda t: t.update({"model.diffusion_model.joint_blocks.0.x": torch.zeros(2)}), "joint_blocks"),
        (lambda t: t.update({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(3, 3)}), "misshapen"),
        (
            lambda t: [t.pop(name) for name in list(t) if name.startswith(("cond", "conditioner.embedders.0"))],
            "holds no text_encoder",
        ),
    ],
    ids=["no layer", "half an autoencoder", "another network", "shape", "no text"],
)
def test_what_is_not_of_that_version_is_refused_by_name(made, tmp_path, change, says):
    _, path, _, like = made
    with pytest.raises(ReverieError, match=says):
        import_file(spoiled(path, tmp_path / "bad.safetensors", change), like, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_needs_a_folder_beside_it_and_is_no_pickle(made, tmp_path):
    _, path, folder, like = made
    for arguments, says in (([str(path)], "say --like FOLDER"), ([str(folder), "--like", str(like)], "is no file")):
        done = CliRunner().invoke(app, ["import", *arguments, "--out", str(tmp_path / "run")])
        assert isinstance(done.exception, ReverieError) and says in str(done.exception)
    (tmp_path / "model.ckpt").write_bytes(b"\x80")
    with pytest.raises(ReverieError, match="can run code"):
        import_file(tmp_path / "model.ckpt", like, tmp_path / "run")
