"""Adapters (LoRA) of other tools and of ours, in one file of safetensors: read, applied, merged, written.

    reverie    network.LAYER.lora_A.weight, network.LAYER.lora_B.weight, LAYER.alpha        of any network here
    diffusers  unet.LAYER.lora_A.weight, ...; transformer., text_encoder., text_encoder_2.; names of layers as diffusers has them
    kohya      lora_unet_LAYER.lora_down.weight, .lora_up.weight, .alpha; lora_te_, lora_te1_, lora_te2_; dots are underscores

A is `down`, B is `up`. Older spellings of diffusers and the layers' original names are read too, and never written.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..conditioning.encoders import PARTS, copied, identity, weights
from ..conditioning.text import Text
from ..errors import ReverieError, printable, some
from ..files import load_tensors, save_tensors, sha256
from ..headers import header, noted
from ..nn.base import Backbone
from ..nn.layouts import JOINT, LAYERS, SPATIAL, to_diffusers
from ..nn.lowrank import KINDS, Delta, add
from ..nn.mmdit import MMDiT
from ..nn.spatial import SpatialUNet
from ..nn.unet import UNet
from ..reading import parse_json
from ..systems.diffusion import Diffusion
from .original import layer_of

ROLES = {
    "lora_A.weight": "down", "lora_B.weight": "up",
    "lora_A.default.weight": "down", "lora_B.default.weight": "up",
    "lora.down.weight": "down", "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down", "lora_linear_layer.up.weight": "up",
    "lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha",
}  # fmt: skip
PROCESSOR = re.compile(r"(.+)\.processor\.(to_q|to_k|to_v|to_out)_lora\.(down|up)\.weight")
NETWORK = ("network.", "unet.", "transformer.", "lora_unet_", "lora_transformer_")
ENCODERS = ("text_encoder.", "text_encoder_2.", "text_encoder_3."), ("lora_te1_", "lora_te2_", "lora_te3_")
PREFIXES = (*NETWORK, *ENCODERS[0], *ENCODERS[1], "lora_te_")
NETWORKS: tuple[tuple[type[Backbone], str, Mapping[str, str]], ...] = (
    (SpatialUNet, "unet.", SPATIAL), (MMDiT, "transformer.", JOINT), (UNet, "unet.", LAYERS),
)  # fmt: skip
"""Networks that diffusers has names for, what it calls them, and the names."""
LAYOUTS = ("reverie", "diffusers", "kohya")
MOST = 16
"""Adapters at once."""


@dataclass(frozen=True)
class Adapter:
    """Changes of a system's layers: of its network, and of each of its text encoders that has some, by their place."""

    network: Mapping[str, Delta]
    encoders: Mapping[int, Mapping[str, Delta]]
    sha256: str = ""

    @property
    def rank(self) -> int:
        """The highest of a layer."""
        return max(one.rank for part in (self.network, *self.encoders.values()) for one in part.values())


def read_adapter(path: Path | str, system: Diffusion) -> Adapter:
    """The adapter in a file, of a system's layers.

    Raises ReverieError for a tensor that is none of an adapter's, a layer that the system has not, and shapes that do not
    fit, each by name.
    """
    path = Path(path)
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        raise ReverieError(
            f"{path} is a pickle, which can run code when it is opened, and is not: it takes safetensors"
        )
    alpha_of = _alphas(path)
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    strange = []
    for name, tensor in load_tensors(path).items():
        layer, role = _role(name)
        start = next((one for one in PREFIXES if layer.startswith(one)), None)
        if not role or start is None or not tensor.is_floating_point() or tensor.ndim < 2 - 2 * (role == "alpha"):
            strange.append(name)
        else:
            parts.setdefault((start, layer.removeprefix(start)), {})[role] = tensor.float()
    if strange:
        raise ReverieError(f"{path} holds what no adapter of low rank has: {_listed(strange)}")
    network: dict[str, Delta] = {}
    encoders: dict[int, dict[str, Delta]] = {}
    lost, tables = [], {}
    for prefix in {prefix for prefix, _ in parts}:
        place = _which(prefix)
        tables[prefix] = _network_names(system, prefix) if place is None else _encoder_names(system, place, prefix)
    for (prefix, layer), one in parts.items():
        if not {"down", "up"} <= one.keys():
            raise ReverieError(
                f"{path} is not whole: {printable(layer[:120])} has a down and no up, or the other way round"
            )
        where, own = _which(prefix), tables[prefix].get(layer)
        if own is None:
            lost.append(prefix + layer)
            continue
        alpha = one["alpha"].mean().item() if "alpha" in one else alpha_of(prefix + layer, len(one["down"]))
        delta = Delta(one["down"], one["up"], alpha)
        try:
            finite = delta.of(own[1]).isfinite().all()
        except (ValueError, IndexError, ZeroDivisionError) as error:
            raise ReverieError(f"{path}: {printable(layer[:120])}: {error}") from None
        into = network if where is None else encoders.setdefault(where, {})
        if not finite or own[0] in into:
            why = "stands there twice" if finite else "holds numbers that are not finite"
            raise ReverieError(f"{path}: {printable(layer[:120])} {why}")
        into[own[0]] = delta
    if lost:
        raise ReverieError(f"{path} changes {len(lost)} layers that this model has not: {_listed(lost)}")
    if not network and not encoders:
        raise ReverieError(f"{path} changes nothing")
    return Adapter(network, encoders, sha256(path))


def write_adapter(path: Path, adapter: Adapter, system: Diffusion, layout: str = "reverie") -> None:
    """One file of safetensors. Raises ReverieError where the layout has no names for the network's layers."""
    if layout not in LAYOUTS:
        raise ReverieError(f"adapters are written as {', '.join(LAYOUTS)}, not as {printable(layout[:40])!r}")
    prefix, names = _named(system.network) if layout != "reverie" else ("network.", {})
    if layout != "reverie" and not names:
        raise ReverieError(
            f"diffusers has no names for the layers of a {type(system.network).__name__}: write it as reverie"
        )
    shapes = _layers(system.network)
    rows = [(prefix, names.get(name, name), kernel(one, shapes[name])) for name, one in adapter.network.items()]
    rows += [(ENCODERS[0][i], name, one) for i, part in adapter.encoders.items() for name, one in part.items()]
    tensors: dict[str, Tensor] = {}
    for part, name, one in rows:
        if layout == "kohya":
            own = _kohya(part, system) + name.replace(".", "_")
            tensors |= {f"{own}.lora_down.weight": one.down, f"{own}.lora_up.weight": one.up}
        else:
            own = part + name
            tensors |= {f"{own}.lora_A.weight": one.down, f"{own}.lora_B.weight": one.up}
        if layout != "diffusers":
            tensors[f"{own}.alpha"] = torch.tensor(one.alpha)
    save_tensors(path, tensors, {"format": "pt"} | (_noted(rows) if layout == "diffusers" else {}))


def kernel(one: Delta, shape: Sequence[int]) -> Delta:
    """The change with the axes that tools expect: of a convolution, those of its kernel."""
    if len(shape) == 2:
        return one
    up = one.up.flatten(1)
    return Delta(one.down.reshape(-1, *shape[1:]), up.reshape(*up.shape, *[1] * (len(shape) - 2)), one.alpha)


def _kohya(part: str, system: Diffusion) -> str:
    if part not in ENCODERS[0]:
        return "lora_unet_"
    several = isinstance(system.conditioner, Text) and len(system.conditioner.encoders) > 1
    return ENCODERS[1][ENCODERS[0].index(part)] if several else "lora_te_"


def _noted(rows: Sequence[tuple[str, str, Delta]]) -> dict[str, str]:
    """What diffusers notes beside the tensors: the rank and alpha of each part, and of the layers that have others."""
    said: dict[str, Any] = {}
    for part, name, one in rows:
        of = part.rstrip(".")
        rank, alpha = said.setdefault(f"{of}.r", one.rank), said.setdefault(f"{of}.lora_alpha", one.alpha)
        ranks, alphas = (said.setdefault(f"{of}.{what}_pattern", {}) for what in ("rank", "alpha"))
        if (one.rank, one.alpha) != (rank, alpha):
            ranks[name], alphas[name] = one.rank, one.alpha
        said.setdefault(f"{of}.target_modules", []).append(name)
    return {"lora_adapter_metadata": json.dumps(said)}


def apply(system: Diffusion, adapters: Sequence[tuple[Adapter, float]]) -> None:
    """Adds adapters to the network of a system in memory, each times its scale. Raises ReverieError for one that changes a text
    encoder: that takes a run of its own, see `merge`.
    """
    _check(adapters)
    if any(one.encoders for one, _ in adapters):
        raise ReverieError(
            "this adapter changes the text encoder too: reverie adapter merge RUN FILE --out NEW, then use NEW"
        )
    for one, scale in adapters:
        add(system.network, one.network, scale)
    system.adapters = (*system.adapters, *((one.sha256, scale) for one, scale in adapters))


def merge(system: Diffusion, adapters: Sequence[tuple[Adapter, float]], out: Path) -> None:
    """Writes a run with the adapters in its weights: of its network, and of copies of its text encoders."""
    _check(adapters)
    conditioner = system.conditioner
    changed: dict[int, Path] = {}
    for i in sorted({i for one, _ in adapters for i in one.encoders}):
        assert isinstance(conditioner, Text)
        encoder = conditioner.encoders[i]
        folders = conditioner.place(encoder)
        target = out / PARTS / encoder.folder
        copied(folders, target)
        mix_encoder(target, [(one.encoders[i], scale) for one, scale in adapters if i in one.encoders])
        changed[i] = target
    for one, scale in adapters:
        add(system.network, one.network, scale)
    if system.defaults.weak:  # its early self is not changed with it, and no part of the new run
        system.defaults = replace(system.defaults, weak="", scale=1.0)
    if changed:
        assert isinstance(conditioner, Text)
        each = tuple(replace(one, sha256=identity(changed[i])) if i in changed else one
                     for i, one in enumerate(conditioner.encoders))  # fmt: skip
        places = {
            one.folder: (changed[i],) * 2 if i in changed else conditioner.place(one) for i, one in enumerate(each)
        }
        system.conditioner = replace(conditioner, encoders=each).at(places)
    system.save(out)


def mix_encoder(folder: Path, changes: Sequence[tuple[Mapping[str, Delta], float]]) -> None:
    """Adds changes to the weights of a text encoder in a folder of its own."""
    for path in weights(folder):
        tensors = load_tensors(path)
        for some_of, scale in changes:
            for name, delta in some_of.items():
                if f"{name}.weight" in tensors:
                    before = tensors[f"{name}.weight"]
                    tensors[f"{name}.weight"] = (before.float() + scale * delta.of(before.shape)).to(before.dtype)
        save_tensors(path, tensors, {"format": "pt"})


def _check(adapters: Sequence[tuple[Adapter, float]]) -> None:
    if not 0 < len(adapters) <= MOST:
        raise ReverieError(f"one to {MOST} adapters are added at once, not {len(adapters)}")
    for _, scale in adapters:
        if not -100 <= scale <= 100:
            raise ReverieError(f"the scale of an adapter is from -100 to 100, not {scale:g}")


def _which(prefix: str) -> int | None:
    """The place of the text encoder, None for the network."""
    if prefix in NETWORK:
        return None
    return 0 if prefix == "lora_te_" else next(names.index(prefix) for names in ENCODERS if prefix in names)


def _role(name: str) -> tuple[str, str]:
    """(layer, role), the role empty where it is none."""
    if match := PROCESSOR.fullmatch(name):
        own = "to_out.0" if match[2] == "to_out" else match[2]
        return f"{match[1]}.{own}", match[3]
    for ending, role in ROLES.items():
        if name.endswith(f".{ending}"):
            return name.removesuffix(f".{ending}"), role
    return name, ""


def _alphas(path: Path):
    """What the file's notes say of alphas: a function of a layer and its rank, which is its alpha where nothing is said."""
    said = parse_json(noted(path).get("lora_adapter_metadata", "{}"), f"what {path} notes of its alphas")
    said = said if isinstance(said, dict) else {}

    def of(layer: str, rank: int) -> float:
        part, _, name = layer.partition(".")
        patterns = said.get(f"{part}.alpha_pattern")
        alpha = patterns.get(name) if isinstance(patterns, dict) else None
        alpha = said.get(f"{part}.lora_alpha", rank) if alpha is None else alpha
        if type(alpha) not in (int, float):
            raise ReverieError(f"{path} notes an alpha that is no number, of {printable(layer[:80])}")
        return float(alpha)

    return of


Names = Mapping[str, tuple[str, tuple[int, ...]]]
"""Of layers as a file calls them: what they are called here, and the shapes of their weights."""


def _named(network: Backbone) -> tuple[str, dict[str, str]]:
    """What diffusers calls the network, and its layers by our names; nothing where it has no such network."""
    own = _layers(network)
    for kind, prefix, layers in NETWORKS:
        if isinstance(network, kind):
            try:
                theirs = to_diffusers({f"{name}.weight": torch.empty(0) for name in own}, layers)
            except ValueError:
                return "", {}
            return prefix, dict(zip(own, (name.removesuffix(".weight") for name in theirs)))
    return "", {}


def _layers(network: Backbone) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of its linear maps and convolutions, by name, as they are without any change on them."""
    plain = type(network).sketch(**network.config)
    found = {}
    for name, part in plain.named_modules():
        if isinstance(part, KINDS):
            found[name] = tuple(part.weight.shape)
    return found


def _network_names(system: Diffusion, prefix: str) -> Names:
    network = system.network
    shapes = _layers(network)
    if prefix == "network.":
        return {name: (name, shape) for name, shape in shapes.items()}
    own, names = _named(network)
    if prefix in ("unet.", "transformer.") and prefix != own:
        return {}
    found = {theirs: (ours, shapes[ours]) for ours, theirs in names.items()}
    if prefix.startswith("lora_"):
        older = (
            {layer_of(theirs, network): one for theirs, one in found.items()}
            if isinstance(network, SpatialUNet)
            else {}
        )
        found = {name.replace(".", "_"): one for name, one in (older | found).items()}
    return found


def _encoder_names(system: Diffusion, place: int, prefix: str) -> Names:
    conditioner = system.conditioner
    encoders = conditioner.encoders if isinstance(conditioner, Text) else ()
    if place >= len(encoders):
        return {}
    assert isinstance(conditioner, Text)
    folder, _ = conditioner.place(encoders[place])
    shapes = {name: tuple(one.shape) for path in weights(folder) for name, one in header(path).items()}
    found = {
        name.removesuffix(".weight"): (name.removesuffix(".weight"), shape)
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) > 1
    }
    return {name.replace(".", "_"): one for name, one in found.items()} if prefix.startswith("lora_") else found


def _listed(names: Sequence[str]) -> str:
    return some([printable(name[:100]) for name in names])
