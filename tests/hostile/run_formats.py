"""The files of a run: healthy ones, how they are changed, what reads them."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from hostile.changing import json_changed
from hostile.format import Format, written


def tensor_files(root: Path) -> list[bytes]:
    from safetensors.torch import save

    rng = torch.Generator().manual_seed(0)
    plain = {
        "a.weight": torch.randn(3, 4, generator=rng),
        "b": torch.arange(5),
        "c": torch.zeros(0),
        "d": torch.tensor(1.0),
    }
    return [
        save(plain, {"note": "x"}),
        save({"x": torch.randn(8, generator=rng).bfloat16(), "y": torch.tensor([True])}),
    ]


def read_tensors(data: bytes, here: Path) -> None:
    from reverie.files import load_tensors

    for tensor in load_tensors(written(here, "a.safetensors", data)).values():
        tensor.double().sum()


def header_changed(data: bytes, rng: Random) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    text = json_changed(data[8 : 8 + length].rstrip(), rng)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def tiny_run(root: Path) -> Path:
    """A run of few weights, with all its files."""
    from reverie.codecs.standard import Standard
    from reverie.conditioning.labels import Labels
    from reverie.core.grids import Karras as Grid
    from reverie.core.parameterizations import Karras, LogSNR
    from reverie.core.schedules import Cosine
    from reverie.modalities.arrays import Arrays
    from reverie.nn.unet import UNet
    from reverie.samplers.heun import Heun
    from reverie.systems.described import Defaults
    from reverie.systems.diffusion import Diffusion
    from reverie.training import checkpoints

    folder = root / "run"
    if folder.exists():
        return folder
    torch.manual_seed(0)
    network = UNet(spatial=1, channels=1, levels=(4, 4), blocks=1, classes=2)
    about = {"name": "waves", "licence": "", "source": "", "data": "0" * 64, "count": 40, "seen": 8}
    system = Diffusion(network, Cosine(), Karras(), LogSNR(), Standard(), Labels(("0", "1")), Arrays(), (1, 8),
                       Defaults(Heun(), Grid(3), 1.0, "float32"), about)  # fmt: skip
    system.save(folder, ema=network.state_dict(), raw=network.state_dict())
    optimizer, state = stepped()
    tensors, groups = checkpoints.of_optimizer(optimizer)
    checkpoints.save(
        folder / "checkpoints", checkpoints.Checkpoint(8, {"optimizer": tensors}, {"groups": groups, "count": 1})
    )
    options = {"samples": 64, "seed": 0, "batch": 8, "network": "unet(levels=(4, 4), blocks=1)", "dtype": "float32",
               "minutes": None, "learning_rate": 2e-3, "schedule": "cosine", "parameterization": "karras",
               "weight": "karras", "density": "lognormal", "size": None}  # fmt: skip
    recipe = {"recipe": "Arrays", "options": options, "chosen": {"threads": 1, "smaller": [[8, 4]]},
              "data": {"name": "waves", "count": 40, "fingerprint": "0" * 64},
              "versions": {"reverie": "0.1.0", "torch": "2.13.0", "python": "3.11"}}  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "local.json").write_text(json.dumps({"data": "waves.npz"}))
    (folder / "log.jsonl").write_text(
        "".join(json.dumps({"seen": 8 * i, "loss": 1 / i, "learning_rate": 1e-3}) + "\n" for i in range(1, 5))
    )
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / "a.json").write_text(json.dumps(
        {"figures": {"frechet": {"value": 1.0, "error": 0.1, "better": "lower", "metric": {"name": "Frechet"}}},
         "counts": {"samples": 8, "reference": 8}, "extractor": {"name": "pixels", "hash": "0"}, "warnings": [], "ladder": {},
         "made_by": {"seed": 0, "scale": 1.0, "sampler": {"name": "Heun"}, "grid": {"name": "Karras", "steps": 3}}}))  # fmt: skip
    return folder


def stepped() -> tuple[torch.optim.Optimizer, torch.nn.Module]:
    """An optimizer that has taken a step, and its module."""
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3)
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer, module


def in_run(name: str, read: Callable[[Path], object]) -> Format:
    """A file of a run, which is read as it lies there."""

    def read_there(data: bytes, here: Path) -> None:
        folder = tiny_run(here.parent)
        path = folder / name
        healthy = path.read_bytes()
        path.write_bytes(data)
        try:
            read(folder)
        finally:
            path.write_bytes(healthy)

    return Format(lambda root: [(tiny_run(root) / name).read_bytes()], read_there, json_changed, 0.9)


def load_and_sample(run: Path) -> None:
    from reverie.cli.info import of_run
    from reverie.systems.base import open_run

    system = open_run(run)
    of_run(str(run), "ema")
    if len(system.defaults.grid(system.denoiser.schedule)) < 20:
        system.generate(2, batch=2)


def read_recipe(run: Path) -> None:
    from reverie.comparison.page import page
    from reverie.comparison.runs import opened
    from reverie.comparison.tables import tables
    from reverie.recipes.repeating import recorded

    both = [opened(str(run))] * 2
    for every in (False, True):
        page(both, tables(both, every))
    recorded(run / "recipe.json")


def read_log(run: Path) -> None:
    from reverie.comparison.runs import opened
    from reverie.comparison.tables import tables
    from reverie.doctor import log
    from reverie.training.logs import Log, reports

    tables([opened(str(run))] * 2)
    list(log.Log().examine(type("Patient", (), {"folder": run})()))
    with Log(run, 16):
        pass
    assert all(report["seen"] <= 16 for _, report in reports(run / "log.jsonl") if report)


def read_checkpoint(run: Path) -> None:
    """With the hashes put right, so that what they protect is reached."""
    import hashlib

    from reverie.training import checkpoints

    path = run / "checkpoints" / "00000008"
    manifest = (path / "manifest.json").read_bytes()
    try:
        stated = json.loads(manifest)
        data = (path / "state.json").read_bytes()
        stated["files"]["state.json"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        (path / "manifest.json").write_text(json.dumps(stated))
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    try:
        found = checkpoints.load(path)
        optimizer, module = stepped()
        checkpoints.into_optimizer(optimizer, found.tensors.get("optimizer", {}), found.state.get("groups", []))
        if all(group["lr"] < 1 for group in optimizer.param_groups):
            optimizer.step()
    finally:
        (path / "manifest.json").write_bytes(manifest)
