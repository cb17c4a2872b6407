"""Guidance by name, built around a system's own denoisers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import guidance as methods
from ..codecs.pixels import Pixels
from ..core.denoisers import Denoiser
from ..discover import Plan, plan
from ..errors import ReverieError
from ..features.classifier import Classifier
from ..guidance.base import Guidance
from ..guidance.extrapolation import Extrapolated
from .bounds import modest

if TYPE_CHECKING:
    from .diffusion import Diffusion

Asked = str | Plan[Guidance] | Sequence[str | Plan[Guidance]] | None
"""`apg(scale=3)`, or several, each around the one before."""
MOST = 8
"""Methods around each other, and conditions beside the one asked for."""


def planned(asked: Any) -> tuple[Plan[Guidance], ...]:
    """The methods asked for, by text, plan or plain data of a file that may be hostile, the innermost first."""
    each = list(asked) if isinstance(asked, (list, tuple)) else [] if asked is None else [asked]
    if len(each) > MOST:
        raise ReverieError(f"{len(each)} methods of guidance around each other are more than any sample needs")
    plans = tuple(
        one if isinstance(one, Plan) else plan("guidance", methods, Guidance, one)  # type: ignore[type-abstract]
        for one in each
    )
    for one in plans:
        modest("the guidance", one)
        if len(one.given.get("others", ())) > MOST:
            raise ReverieError(f"{one.cls.__name__} has room for {MOST} other conditions")
    for one in plans[1:]:
        if "strong" in one.parts:
            raise ReverieError(
                f"{one.cls.__name__} sets the condition against none, which only the first of several methods can do"
            )
    return plans


def settled(asked: Any, scale: float | None, default: float) -> tuple[tuple[Plan[Guidance], ...], float]:
    """The methods and the scale: of the first where that takes one, else of the extrapolation that they are around."""
    plans = planned(asked)
    if not plans or "strong" not in plans[0].parts:
        return plans, default if scale is None else scale
    first = plans[0]
    if scale is not None:
        if "scale" not in first.whole:
            raise ReverieError(f"guidance {first.cls.__name__} takes no scale: leave it out")
        if first.given.get("scale", scale) != scale:
            raise ReverieError(f"the scale is said twice, {scale:g} and inside {first}: leave one out")
        first = first.but(scale=scale)
    return (first, *plans[1:]), first.whole.get("scale", 1.0)


def needs_null(plans: Sequence[Plan[Guidance]], scale: float, weak: "Diffusion | None" = None) -> bool:
    """Whether the guess of no condition is asked for; raises ReverieError where `weak` has no place, or a second one."""
    contrast = bool(plans) and "strong" in plans[0].parts
    if weak is not None and not contrast and scale == 1:
        raise ReverieError("scale 1 is no guidance, away from the other network or from anything: say a scale above 1")
    if weak is not None and contrast and "weak" in plans[0].given:
        raise ReverieError(f"what to guide away from is said twice, as another network and inside {plans[0]}")
    return weak is None and leads_away(plans, scale)


def leads_away(plans: Sequence[Plan[Guidance]], scale: float) -> bool:
    """Whether something weak is asked for that is not said."""
    if plans and "strong" in plans[0].parts:
        return "weak" in plans[0].parts and "weak" not in plans[0].given
    return scale != 1


def guide(
    system: "Diffusion", denoiser: Denoiser, plans: Sequence[Plan[Guidance]], scale: float,
    values: Mapping[str, Tensor], n: int, other: Denoiser | None = None,
) -> Denoiser:  # fmt: skip
    """The denoiser of these values of n samples, guided; away from that of no condition, or from the `other` one.

    Raises ReverieError for what the model cannot give.
    """
    null, keys = told(system, system.conditioner.null(n)), system.conditioner.keys
    weak = denoiser.given(**null) if null else denoiser
    strong = denoiser.given(**told(system, system.conditioner(dict(values)))) if keys else weak
    weak = weak if other is None else other
    contrast = bool(plans) and "strong" in plans[0].parts
    guided: Denoiser = strong if contrast or scale == 1 else Extrapolated(strong, weak, scale)
    for one in plans:
        parts: dict[str, Any] = {"strong": strong, "weak": weak, "denoiser": guided, "range": system.codec.range}
        for name, asked in one.given.items():
            if name in ("weak", "others"):
                every = [given(system, denoiser, words, n) for words in (asked if name == "others" else [asked])]
                parts[name] = every if name == "others" else every[0]
            elif name == "range":
                parts[name] = asked
            elif name in one.parts:
                raise ReverieError(f"guidance {one.cls.__name__}: {name} is not given by text")
        if "range" in one.parts and parts["range"] is None:
            raise ReverieError(f"this model's data have no bounds to clamp to: say {one.cls.__name__.lower()}(range=(low, "
                               "high))")  # fmt: skip
        if "log_prob" in one.parts:
            parts["log_prob"] = log_prob(system, values, one)
        if lacking := [name for name in one.parts if name not in parts]:
            raise ReverieError(f"guidance {one.cls.__name__} lacks {', '.join(lacking)}")
        try:
            guided = one(**parts)
        except (ValueError, TypeError) as error:
            raise ReverieError(f"guidance {one.cls.__name__} cannot be made: {error}") from None
    return guided


def check_weak(system: "Diffusion", weak: "Diffusion") -> None:
    """Raises ReverieError where another model is not of the same data, noise and conditions, so that guesses differ in more
    than how good they are.
    """
    for what, ours, theirs in (
        ("samples", system.shape, weak.shape),
        ("schedule", system.denoiser.schedule, weak.denoiser.schedule),
        ("range of samples", system.codec.range, weak.codec.range),
        ("conditions", system.conditioner.keys, weak.conditioner.keys),
        ("classes", getattr(system.conditioner, "classes", ()), getattr(weak.conditioner, "classes", ())),
    ):
        if ours != theirs:
            raise ReverieError(f"the other network cannot guide this one: its {what} are {theirs}, here {ours}"[:300])


def told(system: "Diffusion", tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.to(system.device) for key, value in tensors.items()}


def given(system: "Diffusion", denoiser: Denoiser, words: Any, n: int) -> Denoiser:
    """The denoiser of what a person calls a condition, for each of n samples."""
    if not system.conditioner.keys:
        raise ReverieError(f"this model knows no conditions, so there is no {words!r} to keep away from or go to")
    values = {key: value.expand(n, *value.shape[1:]) for key, value in system.conditioner.parse([words]).items()}
    return denoiser.given(**told(system, system.conditioner(values)))


def log_prob(system: "Diffusion", values: Mapping[str, Tensor], one: Plan[Guidance]) -> Any:
    """log p(label | z) of the classifier that ships for the system's data; z (B, C, H, W) are pixels in [-1, 1]."""
    data = system.about.get("name")
    if not Classifier.claims(system.shape, data) or not isinstance(system.codec, Pixels) or "label" not in values:
        raise ReverieError(f"guidance {one.cls.__name__} needs a classifier of the model's classes, and ships with one for "
                           f"{' and '.join(Classifier.SHAPES)} alone")  # fmt: skip
    if not one.whole.get("clean"):
        raise ReverieError("the classifiers that ship know clean pictures alone: say classified(clean=True)")
    network = Classifier(str(data)).network.to(system.device)
    label = values["label"].to(system.device)

    def of(z: Tensor, t: Tensor) -> Tensor:
        found = network(z).log_softmax(1).gather(1, label.clamp(min=0)[:, None])[:, 0]
        return torch.where(label >= 0, found, 0)

    return of
