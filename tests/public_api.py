"""The public names of the package and of its command line, one a line, as they are and as they were promised.

    python tests/public_api.py            # what is gone, changed or new since the list was written
    python tests/public_api.py --write    # renews the list, on purpose

CONTRIBUTING says what is public. A line is a name and its parameters with their defaults; types are mypy's to hold.
"""

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

import reverie
from reverie import discover, recipes
from reverie.cli.app import COMMANDS, app
from reverie.cli.train import spoken
from reverie.recipes.base import Recipe

STORED = Path(__file__).parent / "golden" / "api.txt"
CONTRACTS = (
    "errors", "deprecation", "discover", "core", "samplers.base", "nn.base", "codecs.base", "conditioning.base",
    "data.base", "features.base", "metrics.base", "metrics.evaluate", "modalities.base", "training.loop",
    "training.averages", "systems.base", "systems.described", "systems.diffusion",
)  # fmt: skip
"""Modules, and packages with all below, of which every name is promised."""
CHOICES = ("samplers", "guidance", "nn", "posterior", "codecs", "conditioning", "features", "metrics", "modalities",
           "data.builtin")  # fmt: skip
"""Packages of which the classes that `discover` finds are promised, by name and options: files and commands hold them."""


def modules(names: tuple[str, ...]) -> Iterator[Any]:
    for found in pkgutil.walk_packages(reverie.__path__, "reverie."):
        name = found.name.removeprefix("reverie.")
        inside = any(name == one or name.startswith(f"{one}.") for one in names)
        if inside and not any(part.startswith("_") for part in name.split(".")):
            yield importlib.import_module(found.name)


def own(module: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__:
            yield f"{module.__name__}.{name}", value


def listed() -> dict[str, str]:
    """{name: its parameters, or nothing} of every public name there is now."""
    found = {f"reverie.{name}": "" for name in reverie.__all__}
    for module in modules(CONTRACTS):
        for name, value in own(module):
            if inspect.isfunction(value):
                found[name] = parameters(value)
            elif inspect.isclass(value):
                found |= of_class(value, name)
    for module in modules(CHOICES):
        for name, value in own(module):
            if inspect.isclass(value) and not inspect.isabstract(value) and kin(value):
                found.setdefault(name, parameters(value))
    return dict(sorted((found | options()).items()))


def kin(cls: type) -> bool:
    """Whether a class is a choice: one whose base is a contract."""
    bases = {base.__module__.removeprefix("reverie.") for base in cls.__mro__[1:]}
    return any(base == one or base.startswith(f"{one}.") for base in bases for one in CONTRACTS if one != "errors")


def of_class(cls: type, name: str) -> dict[str, str]:
    """What calling it takes, and its own methods, properties and fields."""
    found = {name: "" if getattr(cls, "_is_protocol", False) else parameters(cls)}
    for inside, value in vars(cls).items():
        inner = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if inside.startswith("_") or inspect.isclass(value):
            continue
        found[f"{name}.{inside}"] = parameters(inner) if inspect.isfunction(inner) else ""
    return found


def parameters(value: Any) -> str:
    """(n, *, seed=0): names, kinds and defaults, as they would be written."""
    try:
        signature = inspect.signature(value)
    except (ValueError, TypeError):
        return ""
    bare = [
        p.replace(annotation=p.empty, default=p.default if p.default is p.empty else Written(p.default))
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


class Written:
    """A default that shows as a literal where it is one, and as `...` where it only has a place in memory."""

    def __init__(self, value: Any) -> None:
        try:
            ast.parse(text := repr(value), mode="eval")
        except SyntaxError:
            text = "..."
        self.text = "..." if " at 0x" in text else text

    def __repr__(self) -> str:
        return self.text


def options() -> dict[str, str]:
    """`reverie sample --seed` and the like, and what recipes take."""
    found = {}
    for name in COMMANDS:
        command = app.get_command(click.Context(app), name)
        inner = {name: command}
        if isinstance(command, click.Group) and name != "train":
            inner |= {f"{name} {sub}": one for sub, one in command.commands.items()}
        for path, one in inner.items():
            found[f"reverie {path}"] = ""
            for parameter in one.params:
                for spelling in parameter.opts if isinstance(parameter, click.Option) else ():
                    found |= {} if parameter.hidden else {f"reverie {path} {spelling}": ""}
    for recipe, cls in discover.discover(recipes, Recipe).items():
        found[f"reverie train {spoken(recipe)}"] = ""
        for field in fields(cls):  # type: ignore[arg-type]
            if field.name != "data":
                found[f"reverie train {spoken(recipe)} --{field.name.replace('_', '-')}"] = ""
    return found


def promised() -> tuple[str, dict[str, str]]:
    """(the version that the list was written at, its names)."""
    version, *lines = STORED.read_text().splitlines()
    found = {}
    for line in lines:
        name, bracket, rest = line.partition("(")
        found[name] = bracket + rest
    return version.removeprefix("reverie "), found


def breaks(old: str, new: str) -> list[str]:
    """Why a call that was right by the old parameters may be wrong, or mean something else, by the new ones."""
    (before, order), (after, now) = read(old), read(new)
    found = [f"{name} is gone" for name in before if name not in after]
    kept = [name for name in order if name in after]
    if kept != now[: len(kept)]:
        found.append(f"the order {', '.join(kept)} is now {', '.join(now[: len(kept)]) or 'by name alone'}")
    for name, default in after.items():
        if name not in before:
            found += [f"{name} is new and must be given"] if default is None else []
        elif before[name] is not None and default != before[name]:
            found.append(f"{name}={before[name]} is now {'without a default' if default is None else default}")
    return found


def read(text: str) -> tuple[dict[str, str | None], list[str]]:
    """({name: its default}, those that may be given by place) of parameters as they are written."""
    function: Any = ast.parse(f"def _{text or '()'}: ...").body[0]
    given = function.args
    places = [*given.posonlyargs, *given.args]
    defaults: dict[str, str | None] = {one.arg: None for one in places}
    defaults |= {one.arg: ast.unparse(value) for one, value in zip(reversed(places), reversed(given.defaults))}
    for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        defaults[one.arg] = None if value is None else ast.unparse(value)
    defaults |= {f"{stars}{one.arg}": "" for stars, one in (("*", given.vararg), ("**", given.kwarg)) if one}
    return defaults, [one.arg for one in places]


def broken(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """Names that are gone, and those whose parameters break a call, with the reason. Those that are new break nothing."""
    found = [f"{name} is gone" for name in then if name not in now]
    for name, old in then.items():
        if name in now:
            found += [f"{name}: {reason}" for reason in breaks(old, now[name])]
    return found


def main(write: bool) -> int:
    now = listed()
    if write:
        STORED.parent.mkdir(exist_ok=True)
        lines = [f"reverie {reverie.__version__}", *(f"{name}{call}" for name, call in now.items())]
        STORED.write_text("\n".join(lines) + "\n")
        print(f"{len(now)} names written")
        return 0
    _, then = promised()
    print(*(f"new: {name}" for name in now if name not in then), sep="\n")
    faults = broken(then, now)
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv))
