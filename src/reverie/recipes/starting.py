"""What a run starts from: the weights of another, known by their hash, and what it takes over with them."""

import inspect
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..core.parameterizations import Karras
from ..data.base import Dataset
from ..discover import describe
from ..errors import ReverieError, printable, some
from ..nn.base import Backbone
from ..systems.base import WEIGHTS, hash_of, open_run, shipped
from ..systems.diffusion import Diffusion
from .screen import say
from .transfer import Transfer, transfer

if TYPE_CHECKING:
    from .adapt import Adapt
    from .generation import Generation

APART = 1.5
"""Times that two spreads differ before the difference is a warning."""


def opened(recipe: "Generation") -> Diffusion | None:
    """The model that a recipe starts from, None where it starts from nothing. Raises ReverieError."""
    if not recipe.source:
        for given, option in ((recipe.freeze, "freeze"), (recipe.from_weights != "ema", "from-weights")):
            if given:
                raise ReverieError(f"--{option} is about the weights of another run: give --from RUN")
        return None
    system = open_run(folder_of(recipe.source), recipe.from_weights)
    if not isinstance(system, Diffusion):
        raise ReverieError(f"{recipe.source} is a {type(system).__name__}, of which no training starts")
    return system


def following(recipe: "Generation", source: Diffusion) -> "Generation":
    """The recipe with what it leaves open taken from the source: the network's layout, schedule and parameterization."""
    denoiser = source.denoiser
    parameterization = denoiser.parameterization
    measured = parameterization == Karras(source.codec.std)
    return replace(
        recipe,
        network=recipe.network or layout(source.network),
        schedule=recipe.schedule or spelled(denoiser.schedule),
        parameterization=recipe.parameterization or ("karras" if measured else spelled(parameterization)),
    )


def layout(network: Backbone) -> str:
    """The text of a network, as the option would give it: what does not follow from the data and is not the default."""
    follows = ("spatial", "channels", "out_channels", "classes", "scalars", "tokens")
    defaults = {name: one.default for name, one in inspect.signature(type(network)).parameters.items()}
    given = {key: as_tuple(value) for key, value in network.config.items() if key not in follows}
    return written(type(network).__name__, {k: v for k, v in given.items() if v != as_tuple(defaults.get(k))})


def spelled(value: Any) -> str:
    """A frozen value as `discover.parse` reads it."""
    described = describe(value)
    return written(described.pop("name"), {key: as_tuple(one) for key, one in described.items()})


def written(name: str, options: Mapping[str, Any]) -> str:
    inside = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"{name.lower()}({inside})" if inside else name.lower()


def as_tuple(value: Any) -> Any:
    return tuple(map(as_tuple, value)) if isinstance(value, (list, tuple)) else value


def named(recipe: "Generation | Adapt", source: Diffusion) -> dict[str, Any]:
    """What recipe.json, model.json and the card call the source: no place on this machine."""
    place = Path(recipe.source).expanduser()
    return {
        "name": printable(place.resolve().name if place.is_dir() else recipe.source),
        "weights": recipe.from_weights,
        "sha256": source.weights_hash,
        "data": printable(str(source.about.get("name", ""))[:200]),
        "licence": printable(str(source.about.get("licence", ""))[:200]),
    }


def started(
    recipe: "Generation", data: Dataset, before: Mapping[str, Any] | None = None
) -> tuple["Generation", dict[str, Any]]:
    """The recipe with what it takes from its source, and what recipe.json says of that: {} where it starts from nothing.

    `before` is the recipe.json of a run that is done once more. Raises ReverieError where the source is another now.
    """
    source = opened(recipe)
    if source is None:
        return recipe, {}
    place, then = Path(recipe.source).expanduser(), (before or {}).get("from")
    with suppress(ReverieError):
        if place.is_dir() and shipped(recipe.source):
            say(f"{recipe.source} is a folder here, and is used; the shipped model of that name is not")
    recipe = following(recipe, source)
    told = report(recipe, source, recipe.system(data))
    if then:
        require_same(source, then, recipe.source)
        told["name"] = printable(then["name"])
        if any(told[key] != then.get(key) for key in ("whole", "new", "left", "frozen")):
            say("what is taken over is not all that it was then, by recipe.json: the bytes may differ")
    for line in lines(told):
        say(printable(line))
    return recipe, {"from": told}


def report(recipe: "Generation", source: Diffusion, system: Diffusion) -> dict[str, Any]:
    """What a run takes over from its source, as plain data."""
    made = transfer(source, system)
    frozen = [name for name, p in system.network.named_parameters() if not p.requires_grad]
    return named(recipe, source) | {
        "whole": {"tensors": len(made.whole), "parameters": made.size(made.whole)},
        "part": made.part,
        "new": made.new,
        "left": made.left,
        "frozen": {"tensors": len(frozen), "parameters": made.size(frozen)},
        "beside": beside(source, system),
        "warnings": warnings(source, system, made, frozen),
    }


def beside(source: Diffusion, system: Diffusion) -> dict[str, str]:
    """What is no weight: as the run has it, or of the new data, or chosen."""
    before, now = source.denoiser, system.denoiser
    same = lambda ours, theirs: f"{ours}, as in the run" if ours == theirs else f"{ours}; in the run {theirs}"
    kinds = [type(one.parameterization).__name__ for one in (now, before)]
    conditions = [some(getattr(one.conditioner, "classes", one.conditioner.keys)) or "none" for one in (system, source)]
    return {
        "network": same(layout(system.network), layout(source.network)),
        "schedule": same(str(now.schedule), str(before.schedule)),
        "parameterization": same(*kinds),
        "spread of the data": same(*(f"{one.codec.std:.4g}" for one in (system, source))),
        "shape of the data": same(*("x".join(map(str, one.shape)) for one in (system, source))),
        "conditions of the data": same(*conditions),
    }


def warnings(source: Diffusion, system: Diffusion, made: Transfer, frozen: list[str]) -> list[str]:
    """What does not go together, in sentences."""
    before, now, found = source.denoiser, system.denoiser, []
    kinds = [type(one.parameterization).__name__ for one in (before, now)]
    if kinds[0] != kinds[1]:
        found.append(f"the network learned to predict {kinds[0]} and is to predict {kinds[1]} now: it has to learn anew; "
                     "leave out --parameterization to go on as it was")  # fmt: skip
    if before.noise_input != now.noise_input:
        found.append(f"the network was told the noise as {before.noise_input} and is told {now.noise_input} now")
    codecs = [type(one.codec).__name__ for one in (source, system)]
    if codecs[0] != codecs[1]:
        found.append(f"the run's data were encoded by {codecs[0]}, these by {codecs[1]}")
    ratio = system.codec.std / source.codec.std
    if not 1 / APART < ratio < APART:
        found.append(f"the spread of the data is {ratio:.2g} times the run's")
    unlearned = [name for name in frozen if name in made.new]
    if unlearned:
        found.append(f"frozen although new, so never learned: {some(unlearned)}")
    return found


def lines(told: Mapping[str, Any]) -> list[str]:
    """The report for eyes."""
    counted = lambda part: f"{part['tensors']} tensors, {part['parameters']:,} parameters"
    rows = [f"starts from {told['name']}, weights {told['weights']}, sha256 {told['sha256'][:16]}",
            f"  whole    {counted(told['whole'])}"]  # fmt: skip
    rows += [f"  in part  {name}: {how}" for name, how in told["part"].items()]
    for how in dict.fromkeys(told["new"].values()):
        names = [name for name, other in told["new"].items() if other == how]
        rows.append(f"  new      {some(names)}: {'starts at zero' if how == 'zero' else 'starts at random'}")
    rows += [f"  left     {some(told['left'])}"] if told["left"] else []
    rows += [f"  frozen   {counted(told['frozen'])}"] if told["frozen"]["tensors"] else []
    rows += [f"  {what}: {said}" for what, said in told["beside"].items()]
    return rows + [f"warning: {one}" for one in told["warnings"]]


def take_over(recipe: "Generation", told: Mapping[str, Any], system: Diffusion) -> None:
    """Fills the network with what it takes over. Raises ReverieError where the source is not the one that is told of."""
    source = opened(recipe)
    if source is None:
        raise ReverieError(f"this run starts from {told['name']}, and where that lies is not known here")
    require_same(source, told, recipe.source)
    files.fill(system.network, transfer(source, system).tensors, recipe.source)


def require_same(source: Diffusion, told: Mapping[str, Any], place: str) -> None:
    if source.weights_hash != told["sha256"]:
        raise ReverieError(
            f"the weights of {place} (sha256 {source.weights_hash[:16]}) are not those of {told['name']} "
            f"(sha256 {told['sha256'][:16]}) that the run starts from: give --from RUN"
        )


def place_of(told: Mapping[str, Any], given: str | None, local: Any) -> str:
    """Where the source that a recipe.json tells of lies: the place that is given, where the run found it, or under its name
    here, in runs or among the shipped models; the weights are those. Raises ReverieError where there is none.
    """
    name = printable(told["name"])
    places = [given] if given else [local, name, f"runs/{name}"]
    for place in places:
        with suppress(ReverieError):
            if isinstance(place, str) and place and hash_of(folder_of(place), told["weights"]) == told["sha256"]:
                return place
    if given:
        raise ReverieError(f"the weights of {given} are not those of {name} that the recipe starts from "
                           f"({told['weights']}, sha256 {told['sha256'][:16]})")  # fmt: skip
    raise ReverieError(f"the recipe starts from {name} ({told['weights']}, sha256 {told['sha256'][:16]}), "
                       "which is not here: give --from RUN")  # fmt: skip


def folder_of(place: str) -> Path:
    path = Path(place).expanduser()
    return path if path.is_dir() else shipped(place)


def checked(told: Any, source: str) -> None:
    """Raises ReverieError where the part "from" of a recipe.json that may be hostile is none of ours."""
    known = isinstance(told, dict) and isinstance(told.get("name"), str) and len(told["name"]) <= 200
    if not known or not isinstance(told.get("sha256"), str) or not re.fullmatch(r"[0-9a-f]{64}", told["sha256"]):
        raise ReverieError(f"{source}: from must say the name, weights and sha256 of what the run starts from")
    if told.get("weights") not in WEIGHTS:
        raise ReverieError(f"{source}: from names no weights that there are: {', '.join(WEIGHTS)}")
