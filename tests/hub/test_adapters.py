"""Adapters of other tools and of ours: as diffusers and peft apply them, whoever wrote the file; and files that are none."""

import json

import diffusers
import pytest
import torch
from commands import called, refused
from safetensors.torch import load_file, save_file

pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

from small_diffusion import stable_diffusion, stable_diffusion_3, stable_diffusion_xl  # noqa: E402

import reverie  # noqa: E402
from reverie.conditioning.encoders import identity  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub import load_folder  # noqa: E402
from reverie.hub.adapters import Adapter, apply, merge, read_adapter, write_adapter  # noqa: E402
from reverie.hub.original import layer_of  # noqa: E402
from reverie.nn.lowrank import KINDS, Delta  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers", "ignore::UserWarning:peft"
)
LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
DDIM = {**LATENT, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
BUILDS = {
    "1": lambda folder: stable_diffusion(folder, diffusers.DDIMScheduler(**DDIM)),
    "XL": lambda folder: stable_diffusion_xl(folder, diffusers.DDIMScheduler(**DDIM)),
    "3": stable_diffusion_3,
}
PROMPTS = ["a red heart", "the cat on blue"]


def pipeline(version, folder):
    pipe = BUILDS[version](folder)
    pipe.save_pretrained(folder / "theirs")
    pipe.set_progress_bar_config(disable=True)
    return pipe, folder / "theirs"


@pytest.fixture(scope="module", params=BUILDS)
def made(request, tmp_path_factory):
    """(version, folder of a pipeline of diffusers)."""
    folder = tmp_path_factory.mktemp("pipeline")
    return request.param, pipeline(request.param, folder)[1]


def opened(version, folder):
    """Their pipeline, read anew: adapters leave traces."""
    kind = {"1": diffusers.StableDiffusionPipeline, "XL": diffusers.StableDiffusionXLPipeline,
            "3": diffusers.StableDiffusion3Pipeline}[version]  # fmt: skip
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def network_of(pipe):
    return pipe.transformer if hasattr(pipe, "transformer") else pipe.unet


def drawn(system, seed=0, kinds=KINDS, alike=False):
    """An adapter of every fitting layer, of ranks and alphas that differ unless they are to be alike."""
    noise, found = torch.Generator().manual_seed(seed), {}
    for i, (name, part) in enumerate(system.network.named_modules()):
        if isinstance(part, kinds):
            rank, weight = 2 if alike else 2 + i % 3, part.weight
            down = torch.randn(rank, *weight.shape[1:], generator=noise) * weight[0].numel() ** -0.5
            up = torch.randn(len(weight), rank, generator=noise) * 0.3
            found[name] = Delta(down, up, 2.0 * rank if alike else float(1 + i % 2) * rank)
    return Adapter(found, {})


def inputs(system):
    noise, network = torch.Generator().manual_seed(1), system.network
    z = torch.randn(2, *system.shape, generator=noise)
    condition = system.conditioner(system.conditioner.parse(PROMPTS))
    return z, torch.tensor([17.0, 801.0]), condition, network


@torch.no_grad()
def ours_at(system):
    z, at, condition, network = inputs(system)
    return network(z, at, **condition)


@torch.no_grad()
def theirs_at(pipe, system):
    z, at, condition, _ = inputs(system)
    if hasattr(pipe, "transformer"):
        return pipe.transformer(z, condition["tokens"], condition["scalars"], at).sample
    more = {}
    if "scalars" in condition:
        pooled = system.conditioner.pooled
        sizes = torch.tensor([system.conditioner.sizes]).repeat(2, 1)
        more = {"added_cond_kwargs": {"text_embeds": condition["scalars"][:, :pooled], "time_ids": sizes}}
    return pipe.unet(z, at, condition["tokens"], **more).sample


def test_a_file_of_theirs_is_what_they_make_of_it(made, tmp_path):
    """Written by peft from adapters of the network, and of the first text encoder; at another scale than 1."""
    version, folder = made
    pipe = opened(version, folder)
    torch.manual_seed(3)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    network_of(pipe).add_adapter(peft.LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, target_modules=targets))
    config = peft.LoraConfig(r=3, lora_alpha=3, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    peft.inject_adapter_in_model(config, pipe.text_encoder)
    kind = "transformer" if version == "3" else "unet"
    pipe.save_lora_weights(tmp_path / "file", **{
        f"{kind}_lora_layers": peft.get_peft_model_state_dict(network_of(pipe)),
        f"{kind}_lora_adapter_metadata": network_of(pipe).peft_config["default"].to_dict(),
        "text_encoder_lora_layers": peft.get_peft_model_state_dict(pipe.text_encoder),
    })  # fmt: skip
    file = tmp_path / "file" / "pytorch_lora_weights.safetensors"
    plain = load_folder(folder)
    adapter = read_adapter(file, plain)
    assert adapter.rank == 4
    assert set(adapter.encoders) == {0}
    assert {one.alpha for one in adapter.network.values()} == {6}
    (tmp_path / "base").mkdir()
    plain.save(tmp_path / "base")
    system = reverie.load(tmp_path / "base")
    merge(system, [(adapter, 0.5)], tmp_path / "run")
    run = reverie.load(tmp_path / "run")
    for part in (*network_of(pipe).modules(), *pipe.text_encoder.modules()):
        if hasattr(part, "scaling"):
            part.scaling["default"] *= 0.5
    with torch.no_grad():
        words = pipe.tokenizer(PROMPTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
        theirs = pipe.text_encoder(words, output_hidden_states=True)
        layer = run.conditioner.encoders[0].layer
        said = theirs.last_hidden_state if layer == -1 else theirs.hidden_states[layer]
    width = said.shape[2]
    tokens = run.conditioner.encoded(PROMPTS).tokens[:, :77, :width]
    torch.testing.assert_close(tokens, said, atol=1e-4, rtol=0)
    assert (tokens - system_tokens(plain, width)).abs().max() > 1e-2
    torch.testing.assert_close(ours_at(run), theirs_at(pipe, run), atol=2e-4, rtol=1e-4)
    assert run.conditioner.encoders[0].sha256 == identity(tmp_path / "run" / "parts" / "text_encoder")


def system_tokens(system, width):
    return system.conditioner.encoded(PROMPTS).tokens[:, :77, :width]


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
def test_a_file_of_ours_is_what_we_make_of_it_in_diffusers(made, layout, tmp_path):
    version, folder = made
    if (version, layout) == ("3", "kohya"):
        return  # which diffusers does not read, of that network
    system = load_folder(folder)
    before = ours_at(system)
    # its reader of kohya's files leaves out alphas that differ between layers (0.42: keys that match nothing are ignored)
    adapter = drawn(system, kinds=torch.nn.Linear, alike=layout == "kohya")
    kept = [
        name for name in adapter.network if any(f".{word}" in name for word in ("q", "k", "v", "out", "gate", "back"))
    ]
    adapter = Adapter({name: adapter.network[name] for name in kept if ".blocks." in name or version == "3"}, {})
    write_adapter(tmp_path / "a.safetensors", adapter, system, layout)
    pipe = opened(version, folder)
    pipe.load_lora_weights(tmp_path, weight_name="a.safetensors")
    apply(system, [(read_adapter(tmp_path / "a.safetensors", system), 1.0)])
    assert (ours_at(system) - before).abs().max() > 1e-2
    torch.testing.assert_close(ours_at(system), theirs_at(pipe, system), atol=2e-4, rtol=1e-4)


def test_names_of_the_original_code_are_read_as_diffusers_reads_them(tmp_path):
    """kohya's files of Stable Diffusion XL name blocks as they were counted there."""
    pipe, folder = pipeline("XL", tmp_path)
    system = load_folder(folder)
    adapter = drawn(system, kinds=torch.nn.Linear, alike=True)
    names = {name: one for name, one in adapter.network.items() if ".blocks." in name}
    write_adapter(tmp_path / "k.safetensors", Adapter(names, {}), system, "kohya")
    from reverie.hub.adapters import _named

    _, theirs = _named(system.network)
    table = {theirs[name].replace(".", "_"): layer_of(theirs[name], system.network).replace(".", "_") for name in names}
    older = {}
    for key, tensor in load_file(tmp_path / "k.safetensors").items():
        layer, _, rest = key.removeprefix("lora_unet_").partition(".")
        older[f"lora_unet_{table[layer]}.{rest}"] = tensor
    assert not set(older) & set(load_file(tmp_path / "k.safetensors"))
    save_file(older, tmp_path / "older.safetensors")
    read = read_adapter(tmp_path / "older.safetensors", system)
    assert read.network.keys() == names.keys()
    pipe.load_lora_weights(tmp_path, weight_name="older.safetensors")
    apply(system, [(read, 1.0)])
    torch.testing.assert_close(ours_at(system), theirs_at(pipe, system), atol=2e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of Stable Diffusion 1, small."""
    folder = tmp_path_factory.mktemp("run")
    _, theirs = pipeline("1", folder)
    load_folder(theirs).save(folder / "run")
    return folder / "run"


@pytest.mark.parametrize("layout", ["reverie", "diffusers", "kohya"])
def test_every_layout_holds_every_change(run, layout, tmp_path):
    """Convolutions too, and each rank and alpha."""
    system = reverie.load(run)
    adapter = drawn(system)
    assert any(one.down.ndim == 4 for one in adapter.network.values())
    write_adapter(tmp_path / "a.safetensors", adapter, system, layout)
    read = read_adapter(tmp_path / "a.safetensors", system)
    assert read.network.keys() == adapter.network.keys()
    weights = dict(system.network.named_parameters())
    for name, one in adapter.network.items():
        shape, again = weights[f"{name}.weight"].shape, read.network[name]
        assert (again.rank, again.alpha) == (one.rank, one.alpha)
        torch.testing.assert_close(again.of(shape), one.of(shape), atol=0, rtol=0)


def test_several_at_once_add_up_and_can_be_taken_away(run, tmp_path):
    system, first, second = (reverie.load(run) for _ in range(3))
    adapters = drawn(system, 1), drawn(system, 2)
    before = {name: p.detach().clone() for name, p in system.network.named_parameters()}
    apply(system, [(adapters[0], 0.5), (adapters[1], -0.25)])
    apply(first, [(adapters[0], 0.5)])
    apply(second, [(adapters[1], -0.25)])
    one, other = (dict(part.network.named_parameters()) for part in (first, second))
    for name, p in system.network.named_parameters():
        torch.testing.assert_close(p, one[name] + other[name] - before[name], atol=1e-6, rtol=0)
    apply(system, [(adapters[0], -0.5), (adapters[1], 0.25)])
    for name, p in system.network.named_parameters():
        torch.testing.assert_close(p, before[name], atol=1e-6, rtol=0)
    assert [scale for _, scale in system.adapters] == [0.5, -0.25, -0.5, 0.25]


def test_from_the_command_line_added_merged_and_replayed(run, tmp_path):
    system = reverie.load(run)
    file = tmp_path / "a.safetensors"
    write_adapter(file, drawn(system), system, "kohya")
    how = ["--prompt", "a red heart", "-n", 1, "--sample-steps", 2]
    called("sample", run, *how, "--adapter", f"{file}:0.5", "--out", tmp_path / "added")
    called("adapter", "merge", run, f"{file}:0.5", "--out", tmp_path / "merged")
    called("sample", tmp_path / "merged", *how, "--out", tmp_path / "same")
    called("sample", run, *how, "--out", tmp_path / "plain")
    pixels = {name: reverie.modalities.images.Images().decode(tmp_path / name / "00000.png")[0].float()
              for name in ("added", "same", "plain")}  # fmt: skip
    assert (pixels["added"] - pixels["same"]).abs().max() <= 1
    assert (pixels["added"] - pixels["plain"]).abs().max() > 8
    assert "give --adapter FILE" in refused("replay", tmp_path / "added" / "00000.png", "--model", run)
    told = called("replay", tmp_path / "added" / "00000.png", "--model", run, "--adapter", file)
    assert "the same, all" in told
    assert "kohya, rank" in called(
        "adapter", "convert", run, file, "--to", "kohya", "--out", tmp_path / "b.safetensors"
    )
    assert load_file(file).keys() == load_file(tmp_path / "b.safetensors").keys()
    assert "exists" in refused("adapter", "merge", run, file, "--out", tmp_path / "merged")
    assert "FILE:SCALE" in refused("sample", run, *how, "--adapter", f"{file}:much", "--out", tmp_path / "x")


def spoiled(tensors, how):
    """(tensors, notes, what the refusal says) of a file that is none of this model's."""
    key = next(one for one in tensors if one.endswith("lora_A.weight"))
    layer = key.removesuffix(".lora_A.weight")
    if how == "half":
        return {k: v for k, v in tensors.items() if k != key}, {}, "not whole"
    if how == "shape":
        return {**tensors, key: torch.zeros(2, 7)}, {}, "make no change of"
    if how == "layer":
        return (
            {f"unet.nowhere.{k.rsplit('.', 2)[-2]}.weight": v for k, v in tensors.items() if layer in k},
            {},
            "has not",
        )
    if how == "kind":
        return {**tensors, f"{layer}.hada_w1_a": torch.zeros(2, 2)}, {}, "what no adapter of low rank has: "
    if how == "magnitude":
        return {**tensors, f"{layer}.lora_magnitude_vector": torch.zeros(2)}, {}, "lora_magnitude_vector"
    if how == "encoder":
        return {f"text_encoder_3.x.lora_{part}.weight": torch.zeros(2, 2) for part in "AB"}, {}, "text_encoder_3.x"
    if how == "alpha":
        return tensors, {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": "all"})}, "no number"
    if how == "endless":
        return {**tensors, key: torch.full_like(tensors[key], torch.inf)}, {}, "not finite"
    if how == "twice":
        own = reverie_names(tensors)
        return {**tensors, **own}, {}, "twice"
    if how == "scalar":
        return {**tensors, key: torch.tensor(1.0)}, {}, "what no adapter of low rank has"
    return tensors, {"lora_adapter_metadata": "{"}, "is not valid JSON"


def reverie_names(tensors):
    """The first layer under our own name too."""
    key = next(one for one in tensors if "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q" in one)
    layer = key.rsplit(".", 2)[0]
    own = "network.down.0.stages.0.cross.blocks.0.own.q"
    return {f"{own}.lora_{part}.weight": tensors[f"{layer}.lora_{part}.weight"].clone() for part in "AB"}


@pytest.mark.parametrize(
    "how", ["half", "shape", "layer", "kind", "magnitude", "encoder", "alpha", "notes", "endless", "twice", "scalar"]
)  # fmt: skip
def test_a_file_that_is_none_is_refused_by_name(run, how, tmp_path):
    system = reverie.load(run)
    attends = {name: one for name, one in drawn(system).network.items() if name.endswith(".q")}
    write_adapter(tmp_path / "a.safetensors", Adapter(attends, {}), system, "diffusers")
    tensors, notes, why = spoiled(load_file(tmp_path / "a.safetensors"), how)
    save_file({name: one.contiguous() for name, one in tensors.items()}, tmp_path / "b.safetensors", notes)
    with pytest.raises(ReverieError, match=why):
        read_adapter(tmp_path / "b.safetensors", system)


def test_a_pickle_is_not_opened(run, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"\x80\x04")
    with pytest.raises(ReverieError, match="can run code"):
        read_adapter(tmp_path / "a.pt", reverie.load(run))
