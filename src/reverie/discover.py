"""Finds the concrete classes of a package, by name: a new file is a new choice."""

import ast
import inspect
import math
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module, metadata
from types import ModuleType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import MissingDependency, ReverieError, unknown

T = TypeVar("T")
LONGEST = 2000
"""Characters of a text that names a class and its options."""


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


@dataclass(frozen=True)
class Plan(Generic[T]):
    """A class and its options, to be built around what comes later: guidance around denoisers, say.

    Parameters of the class without a default are its parts, those with one its options; text may give parts too.
    """

    cls: type[T]
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(name for name, p in inspect.signature(self.cls).parameters.items() if p.default is p.empty)

    @property
    def given(self) -> dict[str, Any]:
        """What was said."""
        return dict(self.options)

    @property
    def whole(self) -> dict[str, Any]:
        """What was said, and the defaults of all other options."""
        takes = inspect.signature(self.cls).parameters
        return {name: p.default for name, p in takes.items() if p.default is not p.empty} | self.given

    def but(self, **options: Any) -> "Plan[T]":
        return Plan(self.cls, tuple((self.given | options).items()))

    def __call__(self, **parts: Any) -> T:
        """Of the parts, those that the class takes; they go before what was said."""
        return self.cls(**self.whole | {name: parts[name] for name in self.parts if name in parts})

    def __str__(self) -> str:
        return f"{self.cls.__name__.lower()}({', '.join(f'{name}={value!r}' for name, value in self.whole.items())})"


def plan(kind: str, package: ModuleType, base: type[T], data: Any) -> Plan[T]:
    """What a short text plans, `apg(scale=3)`, or data that `describe` wrote, which may be hostile.

    A part is given by plain words or numbers, of which whoever builds it makes the part.
    """
    data = _read(kind, data) if isinstance(data, str) else data
    cls = _named(kind, package, base, data)
    parts = Plan(cls).parts
    known = {name: p.default for name, p in inspect.signature(cls).parameters.items()}
    hints = {name: hint for name, hint in _hints(cls.__init__).items() if name not in parts}
    options = _options(kind, package, base, cls, data, known, hints | dict.fromkeys(parts, _Words))
    return Plan(cls, tuple(options.items()))


def parse(kind: str, package: ModuleType, base: type[T], text: str) -> T:
    """The instance that a short text names: `heun`, `ddim(eta=0.5)`. Values are literals; nothing is evaluated."""
    return construct(kind, package, base, _read(kind, text))


def _read(kind: str, text: str) -> dict[str, Any]:
    """The name and the options in a short text."""
    match = re.fullmatch(r"\s*([\w+-]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL) if len(text) <= LONGEST else None
    if not match:
        raise ReverieError(f"cannot read {kind} {text[:80]!r}: write it as name or name(option=value, ...)")
    options: dict[str, Any] = {}
    if match[2]:
        try:
            call = ast.parse(f"f({match[2]})", mode="eval").body
            assert isinstance(call, ast.Call) and not call.args
            options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        except (SyntaxError, ValueError, AssertionError, TypeError, RecursionError, MemoryError):
            raise ReverieError(f"cannot read the options of {kind} {text!r}: write name(option=value, ...)") from None
    return {**options, "name": match[1]}


def describe(value: Any) -> Any:
    """A frozen value as plain data, {"name": class, field: value, ...}: the inverse of `construct`, and of `plan`."""
    if isinstance(value, Plan):
        return {"name": value.cls.__name__} | {key: describe(one) for key, one in value.whole.items()}
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
    """The frozen value that `describe` wrote, from a file that may be hostile: known names and known fields only.

    What stands in a field is of the package too, or of the very class that the field's type names.
    """
    return _constructed(kind, package, base, _named(kind, package, base, data), data)


def _constructed(kind: str, package: ModuleType, base: type[T], cls: type[T], data: Mapping[str, Any]) -> T:
    known = {f.name: f for f in fields(cls) if f.init} if is_dataclass(cls) else {}
    defaults = {name: f.default for name, f in known.items()}
    options = _options(kind, package, base, cls, data, defaults, _hints(cls))
    lacking = [
        n for n, f in known.items() if n not in options and f.default is MISSING and f.default_factory is MISSING
    ]
    if lacking:
        raise ReverieError(f"{kind} {cls.__name__} lacks {', '.join(lacking)}")
    try:
        return cls(**options)
    except (TypeError, ValueError, OverflowError) as error:
        raise ReverieError(f"{kind} {cls.__name__} cannot be made: {error}") from None


def _named(kind: str, package: ModuleType, base: type[T], data: Any) -> type[T]:
    """The class that plain data name."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ReverieError(f"{kind} must be an object with a name, not {str(data)[:80]!r}")
    return lookup(kind, package, base, data["name"])


def _options(
    kind: str, package: ModuleType, base: type, cls: type, data: Mapping[str, Any], known: Mapping[str, Any],
    hints: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The options in plain data, each of them known, with its default, and of the type that its hint states."""
    options = {}
    for key, value in data.items():
        if key == "name":
            continue
        if key not in known:
            raise unknown(f"option of {kind} {cls.__name__}", str(key), known)
        options[key] = restored = _restored(kind, package, base, value, known[key], hints.get(key))
        if not _fits(restored, hints.get(key, Any)):
            given, needed = repr(value)[:40], _said(hints[key])
            raise ReverieError(f"{kind} {cls.__name__}: {key} cannot be {given}, which is not of the kind {needed}")
    return options


def _restored(kind: str, package: ModuleType, base: type, value: Any, default: Any, hint: Any = None) -> Any:
    if isinstance(value, Mapping):
        own: list[Any] = [
            one for one in (hint, *get_args(hint)) if is_dataclass(one) and _name(one) == value.get("name")
        ]
        return _constructed(kind, package, base, own[0], value) if own else construct(kind, package, base, value)
    if isinstance(value, list):
        return tuple(_restored(kind, package, base, one, None, hint) for one in value)
    if value in ("inf", "-inf") and not isinstance(default, str):
        return float(value)
    return value


def _name(cls: Any) -> str:
    return getattr(cls, "__name__", "")


_Word = str | int | float
_Words = _Word | tuple[_Word, ...]
"""What stands for a part in text: words or numbers, and lists of them."""


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:  # names that only a type checker imports
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether plain data, restored, are of the type that a field states; whole numbers are numbers, truths are not."""
    inside = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, one) for one in inside)
    if get_origin(hint) is tuple and len(inside) == 2 and inside[1] is Ellipsis:
        return isinstance(value, tuple) and all(_fits(one, inside[0]) for one in value)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and len(value) == len(inside) and all(map(_fits, value, inside))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _said(hint: Any) -> str:
    """A type as a person would say it."""
    words = {_Words: "words or numbers", float: "number", int: "whole number", str: "text", bool: "true or false"}
    return words.get(hint) or (hint.__name__ if inspect.isclass(hint) else re.sub(r"\w+\.", "", str(hint)))


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


IMPORTED_AS = {"sklearn": "scikit-learn", "PIL": "pillow", "dicebear": "dicebear-core"}
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
