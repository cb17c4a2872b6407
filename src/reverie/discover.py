"""Finds the concrete classes of a package, by name: a new file is a new choice."""

import ast
import inspect
import math
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module, metadata
from types import ModuleType
from typing import Any, TypeVar

from .errors import MissingDependency, ReverieError, unknown

T = TypeVar("T")


def discover(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """The concrete subclasses of `base` that a package or a single module defines, by class name.

    Third parties add theirs through entry points of the group `reverie.<package>`, each naming a class. A file whose
    optional dependency is not installed is left out here and named by `missing`.
    """
    modules = [package, *_modules(package)[0]]
    found = {
        name: cls
        for module in modules
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base) and not inspect.isabstract(cls) and cls.__module__ == module.__name__
    }
    for point in metadata.entry_points(group=package.__name__):
        cls = point.load()
        if inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls):
            found[cls.__name__] = cls
    return dict(sorted(found.items()))


def missing(package: ModuleType) -> dict[str, str]:
    """Files of a package that cannot be used here, each with the command that installs what it lacks."""
    return _modules(package)[1]


def variants(package: ModuleType, base: type[T], *parts: Any) -> list[T]:
    """The instances that contracts test and docs list: a class's own `variants`, or the one its defaults make.

    `parts` are what the instances are built around: for guidance, a strong denoiser and a weak one.
    """
    found: list[T] = []
    for cls in discover(package, base).values():
        own = getattr(cls, "variants", None)
        found += own(*parts) if own else [cls(*parts)]
    return found


def lookup(kind: str, package: ModuleType, base: type[T], name: str) -> type[T]:
    """The class of that name, whatever its case, dashes and underscores; `kind` is the word an error uses."""
    known = discover(package, base)
    for own, cls in known.items():
        if _plain(own) == _plain(name):
            return cls
    for file, command in missing(package).items():
        if _plain(file) == _plain(name):
            raise MissingDependency(f"{kind} {name!r} needs an optional dependency: {command}")
    raise unknown(kind, name, known)


def parse(kind: str, package: ModuleType, base: type[T], text: str) -> T:
    """The instance that a short text names: `heun`, `ddim(eta=0.5)`. Values are literals; nothing is evaluated."""
    match = re.fullmatch(r"\s*([\w+-]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if not match:
        raise ReverieError(f"cannot read {kind} {text!r}: write it as name or name(option=value, ...)")
    options: dict[str, Any] = {}
    if match[2]:
        try:
            call = ast.parse(f"f({match[2]})", mode="eval").body
            assert isinstance(call, ast.Call) and not call.args
            options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        except (SyntaxError, ValueError, AssertionError, RecursionError):
            raise ReverieError(f"cannot read the options of {kind} {text!r}: write name(option=value, ...)") from None
    return construct(kind, package, base, {"name": match[1], **options})


def describe(value: Any) -> Any:
    """A frozen value as plain data, {"name": class, field: value, ...}: the inverse of `construct`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"name": type(value).__name__} | {
            f.name: describe(getattr(value, f.name)) for f in fields(value) if f.init
        }
    if isinstance(value, (list, tuple)):
        return [describe(one) for one in value]
    if isinstance(value, Mapping):
        return {key: describe(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def construct(kind: str, package: ModuleType, base: type[T], data: Any) -> T:
    """The frozen value that `describe` wrote, from a file that may be hostile: known names and known fields only."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ReverieError(f"{kind} must be an object with a name, not {str(data)[:80]!r}")
    cls = lookup(kind, package, base, data["name"])
    known = {f.name: f for f in fields(cls) if f.init} if is_dataclass(cls) else {}
    options = {}
    for key, value in data.items():
        if key == "name":
            continue
        if key not in known:
            raise unknown(f"option of {kind} {cls.__name__}", str(key), known)
        options[key] = _restored(kind, package, base, value, known[key].default)
    lacking = [
        n for n, f in known.items() if n not in options and f.default is MISSING and f.default_factory is MISSING
    ]
    if lacking:
        raise ReverieError(f"{kind} {cls.__name__} lacks {', '.join(lacking)}")
    try:
        return cls(**options)
    except (TypeError, ValueError, OverflowError) as error:
        raise ReverieError(f"{kind} {cls.__name__} cannot be made: {error}") from None


def _restored(kind: str, package: ModuleType, base: type, value: Any, default: Any) -> Any:
    if isinstance(value, Mapping):
        return construct(kind, package, base, value)
    if isinstance(value, list):
        return tuple(_restored(kind, package, base, one, None) for one in value)
    if value in ("inf", "-inf") and not isinstance(default, str):
        return float(value)
    if default is not MISSING and default is not None and value is not None:
        numbers = isinstance(default, (int, float)) and not isinstance(default, bool)
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) if numbers else True
        if isinstance(default, (bool, str)):
            fits = isinstance(value, type(default))
        if not fits:
            raise ReverieError(f"{kind}: {value!r} is not of the kind of {default!r}")
    return value


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _modules(package: ModuleType) -> tuple[list[ModuleType], dict[str, str]]:
    modules, lacking = [], {}
    for info in pkgutil.iter_modules(getattr(package, "__path__", ())):
        try:
            modules.append(import_module(f"{package.__name__}.{info.name}"))
        except ModuleNotFoundError as error:
            if not error.name or error.name.split(".")[0] == "reverie":
                raise
            lacking[info.name] = install_command(error.name.split(".")[0])
    return modules, lacking


IMPORTED_AS = {"sklearn": "scikit-learn", "PIL": "pillow"}
"""Modules whose package has another name."""


def install_command(module: str) -> str:
    """The command that installs an optional module: the extra that asks for it, where one does."""
    distribution = IMPORTED_AS.get(module, module)
    for requirement in metadata.requires("reverie") or []:
        name, _, marker = requirement.partition(";")
        extra = re.search(r"extra == ['\"](\w+)['\"]", marker)
        if (
            extra
            and extra[1] not in ("dev", "bench", "docs")
            and _plain(re.split(r"[<>=!~\[ ]", name)[0]) == _plain(distribution)
        ):
            return f"pip install 'reverie[{extra[1]}]'"
    return f"pip install {distribution}"
