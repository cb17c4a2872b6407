"""What an edit is: a verb with its options, done to pictures by a model."""

import abc
import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, get_args, get_type_hints

from torch import Tensor

from .. import discover
from ..codecs.latent import Latent
from ..codecs.pixels import Pixels
from ..core.grids import Grid
from ..errors import ReverieError, printable
from ..samplers.base import Sampler
from ..systems import latent_upscaling
from ..systems.autoencoding import NOTHING as NOTHING_OF_ITS_OWN
from ..systems.autoencoding import Autoencoding
from ..systems.base import Progress, Samples, System
from ..systems.diffusion import Diffusion
from ..systems.inpainting import Inpainting
from ..systems.latent_upscaling import LatentUpscaling
from ..systems.super_resolution import NOTHING, SuperResolution
from . import pictures
from .pictures import Picture

KINDS: dict[Any, str] = {float: "a finite number", int: "a whole number", str: "a word", bool: "true or false"}


@dataclass(frozen=True)
class How:
    """How an edit is sampled, whatever the verb; what is None is the model's own."""

    seed: int = 0
    count: int = 1
    """Versions of the edit, each from a stream of its own: version i of a seed is always the same."""
    condition: Any = None
    """One for all versions, or a list in turn; None for none."""
    scale: float | None = None
    sampler: Sampler | None = None
    grid: Grid | None = None
    sample_steps: int | None = None
    guidance: Any = None
    weak: Diffusion | None = None
    dtype: str | None = None
    batch: int = 16
    """Versions at a time, or tiles of one version where the picture has another size than the model's samples."""
    overlap: float = 0.25
    """Share of a tile's side that it has in common with the next."""
    grey: bool = False
    """Whether a model of grey pictures takes those in colour by their brightness."""
    progress: Progress | None = None


@dataclass
class Edited:
    """What an edit made."""

    raw: Tensor
    """uint8 (N, C, H, W)."""
    info: dict[str, Any] = field(default_factory=dict)
    """What made it, as plain data."""
    said: list[str] = field(default_factory=list)
    """What a person is told beside: the noise level, the error of an inversion."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What else there is to keep, by file name: a preview of the mask, an animation, the noise of an inversion."""
    samples: list[Samples] | None = None
    """The same, batch by batch, where they need no picture: then a record of them is what `reverie replay` takes."""

    def __len__(self) -> int:
        return len(self.raw)


class Edit(abc.ABC):
    """A verb, with its options as the fields of a frozen dataclass: each has a word for the command line."""

    takes: ClassVar[tuple[int, int]] = (1, 1)
    """The fewest and the most pictures that it edits together."""
    versions: ClassVar[bool] = True
    """Whether it makes as many as are asked for."""

    enlarges: ClassVar[bool] = False
    """Whether it can be done by a model that knows enlarging alone."""
    paints: ClassVar[bool] = False
    """Whether it paints parts anew, which is all that a model of inpainting does."""
    latents: ClassVar[bool] = True
    """Whether it can be done in the latents of an autoencoder, where nothing is known of single pixels."""

    @abc.abstractmethod
    def do(self, system: Diffusion, given: Sequence[Tensor], how: How) -> Edited:
        """given: uint8 (C, H, W) each, of the channels that the model makes. Raises ReverieError."""

    def __call__(self, system: System, given: Sequence[Picture] = (), how: How = How()) -> Edited:
        """The edit of pictures that are files, arrays or tensors. Raises ReverieError for what the model cannot do."""
        check_options(self)
        check_options(how)
        check_model(system, self)
        assert isinstance(system, Diffusion)
        fewest, most = self.takes
        if not fewest <= len(given) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise ReverieError(
                f"{type(self).__name__.lower()} takes {wanted} picture{'s' * (most != 1)}, not {len(given)}"
            )
        if not self.versions and how.count != 1:
            raise ReverieError(f"{type(self).__name__.lower()} makes what it makes once: leave out the count")
        if how.count < 1 or how.batch < 1:
            raise ReverieError("ask for one version or more, in batches of one or more")
        if not 0 <= how.overlap <= 0.5:
            raise ReverieError(f"the overlap is a share of a tile from 0 to 0.5, not {how.overlap:g}")
        return self.do(system, [pictures.of(one, system.raw_shape[0], how.grey) for one in given], how)


def option(default: Any, help: str, kind: str = "", choices: Sequence[str] = ()) -> Any:
    """A field with a word for the command line; `kind` is "picture" where it is one, "pair" where it is two numbers."""
    return field(default=default, metadata={"help": help, "kind": kind, "choices": tuple(choices)})


def check_options(options: Any) -> None:
    """Raises ReverieError where an option that is a number, a word or a yes or no has another kind, or is not finite."""
    hints = get_type_hints(type(options))
    for one in fields(options):
        value, kind = getattr(options, one.name), hints[one.name]
        kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        known = [each for each in kinds if each in KINDS]
        if not known or (value is None and types.NoneType in kinds):
            continue
        whole = isinstance(value, int) and not isinstance(value, bool)
        right = {float: whole or (isinstance(value, float) and math.isfinite(value)), int: whole,
                 str: isinstance(value, str), bool: isinstance(value, bool)}  # fmt: skip
        if not any(right[each] for each in known):
            raise ReverieError(f"{one.name.replace('_', ' ')} is {KINDS[known[0]]}, not {printable(str(value))[:40]!r}")


def check_model(system: System, verb: Edit) -> None:
    """Raises ReverieError where a model makes anything but pictures, or not in the way that the verb needs."""
    if isinstance(system, Autoencoding):
        raise ReverieError(NOTHING_OF_ITS_OWN)
    if isinstance(system, SuperResolution):
        if not verb.enlarges:
            raise ReverieError(NOTHING)
        return
    if isinstance(system, LatentUpscaling) and not verb.enlarges:
        raise ReverieError(latent_upscaling.NOTHING)
    if not isinstance(system, Diffusion) or len(system.shape) != 3 or not isinstance(system.codec, (Pixels, Latent)):
        made = " x ".join(map(str, getattr(system, "shape", ()))) or "something else"
        raise ReverieError(f"edits are of pictures of 256 levels, and this model makes arrays ({made})")
    if isinstance(system, Inpainting) and not verb.paints:
        raise ReverieError(
            "this model was trained to paint parts of pictures anew, and edits in no other way: inpaint, outpaint"
        )
    if isinstance(system.codec, Latent) and not verb.latents:
        raise ReverieError(
            f"{type(verb).__name__.lower()} goes by what single pixels say, and this model works in the latents of an "
            "autoencoder, which know of none: take a model of pixels, or vary"
        )


def share(name: str, value: float) -> None:
    """Raises ReverieError where the value is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ReverieError(f"{name} is a share from 0 to 1, not {value:g}")


def edit(verb: str, system: System, *given: Picture, **options: Any) -> Edited:
    """Does a verb by name to pictures; `options` are the verb's own and those of `How`.

        edit("vary", reverie.load("digits"), "seven.png", strength=0.4, seed=1)

    Raises ReverieError for an unknown verb, option or picture, and for what the model cannot do.
    """
    from .. import editing

    cls = discover.lookup("verb", editing, Edit, verb)  # type: ignore[type-abstract]
    own = {one.name for one in fields(cls)}  # type: ignore[arg-type]
    common = {one.name for one in fields(How)}
    for name in options:
        if name not in own | common:
            from ..errors import unknown

            raise unknown(f"option of {verb}", name, own | common)
    done = cls(**{name: value for name, value in options.items() if name in own})
    return done(system, given, How(**{name: value for name, value in options.items() if name in common}))


class Verbs(Mapping[str, Callable[..., Edited]]):
    """Every verb that is discovered, by name, as a function of a system and pictures."""

    def __getitem__(self, name: str) -> Callable[..., Edited]:
        cls = self._known()[name]

        def verb(system: System, *given: Picture, **options: Any) -> Edited:
            return edit(name, system, *given, **options)

        taken = [inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
                 for one in (*fields(cls), *fields(How)) if one.default is not MISSING]  # type: ignore[arg-type]  # fmt: skip
        first = [inspect.Parameter("system", inspect.Parameter.POSITIONAL_ONLY),
                 inspect.Parameter("pictures", inspect.Parameter.VAR_POSITIONAL)]  # fmt: skip
        verb.__name__, verb.__doc__ = name, cls.__doc__
        verb.__signature__ = inspect.Signature([*first, *taken])  # type: ignore[attr-defined]
        return verb

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> dict[str, type[Edit]]:
        from .. import editing

        found = discover.discover(editing, Edit)  # type: ignore[type-abstract]
        return {name.lower(): cls for name, cls in found.items()}
