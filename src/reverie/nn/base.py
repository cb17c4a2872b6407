"""What a backbone is: a network of x, of how noisy it is, and of named conditions."""

import abc
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from .compiling import Compilable
from .norms import Norm

Through = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
"""How the inside of a network is computed from the features before it: by calling it, unless its last result will do."""


def computed(inside: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
    return inside(h)


class Unfilled(TorchFunctionMode):
    """Leaves normal numbers undrawn: without memory they are none, and to find that out imports a compiler for a second."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **(kwargs or {}))


class Backbone(nn.Module, abc.ABC):
    """A network F(x, c_noise, conditions) over `spatial` axes, rebuilt from its own `config`.

        x (B, channels, *axes), c_noise (B,)  ->  (B, out_channels, *axes), in the dtype of x

    Which conditions it takes is decided when it is built, and each is then required in every call:

    - `classes` K > 0: `label` (B,) integers; K itself is the null label, that of a sample without one;
    - `scalars` S > 0: `scalars` (B, S) numbers of about unit size;
    - `tokens` D > 0: `tokens` (B, L, D), with an optional `tokens_mask` (B, L) that is true where a token counts.
      A sample without any token that counts is unconditional;
    - `maps` M > 0: `maps` (B, M, *axes), what is known of each position of x, beside which it enters the network.

    A subclass states its arguments as keywords with plain values (numbers, lists, None): `type(net)(**net.config)` has
    the same layout. It calls `super().__init__()` with those that every backbone has.
    """

    _compiled = False
    has_inside = False
    """Whether `forward` takes `through`, which computes its inside: a function of the features before it."""

    config: dict[str, Any]
    """The keyword arguments that made it, defaults included: plain data, fit for JSON."""

    checkpoint: bool = False
    """Computes each block twice in training to keep only its inputs: less memory, a third more work, same gradients."""

    def __init__(
        self,
        spatial: int,
        channels: int,
        out_channels: int | None,
        classes: int,
        scalars: int,
        tokens: int,
        maps: int = 0,
    ) -> None:
        super().__init__()
        self.spatial = whole("spatial", spatial, 1, 3)
        self.channels = whole("channels", channels, 1, 2**16)
        self.out_channels = channels if out_channels is None else whole("out_channels", out_channels, 1, 2**16)
        self.classes = whole("classes", classes, 0, 2**24)
        self.scalars = whole("scalars", scalars, 0, 2**16)
        self.tokens = whole("tokens", tokens, 0, 2**16)
        self.maps = whole("maps", maps, 0, 2**16)

    @property
    def compiles(self) -> bool:
        """Whether there are kernels to compile for it."""
        parts = [part for part in self.modules() if isinstance(part, Compilable)]
        return any(self.spatial > 1 or not isinstance(part, Norm) for part in parts)

    @property
    def compiled(self) -> bool:
        """Whether it is computed by kernels compiled for this machine, where there are any for it; the same function."""
        return self._compiled

    @compiled.setter
    def compiled(self, on: bool) -> None:
        self._compiled = on
        for part in self.modules():
            if isinstance(part, Compilable):
                part.compiled = on

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = remembering(cls.__init__)  # type: ignore[method-assign]

    @classmethod
    def size(cls, **config: Any) -> int:
        """The number of parameters that a network of this config would have; allocates none of them.

        Raises ValueError where an argument is out of bounds, TypeError where it is unknown.
        """
        return sum(p.numel() for p in cls.sketch(**config).parameters())

    @classmethod
    def sketch(cls, **config: Any) -> Self:
        """The network of this config, its tensors with shapes and no memory. Raises as `size` does."""
        try:
            with torch.device("meta"), Unfilled():
                return cls(**config)
        except RuntimeError as error:  # more bytes than an integer counts
            raise ValueError(f"{cls.__name__} is too large: {error}") from None

    @abc.abstractmethod
    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        *,
        label: Tensor | None = None,
        scalars: Tensor | None = None,
        tokens: Tensor | None = None,
        tokens_mask: Tensor | None = None,
        maps: Tensor | None = None,
    ) -> Tensor:
        """x (B, channels, *axes) of any size, c_noise (B,) float32; returns (B, out_channels, *axes)."""

    def check(
        self,
        x: Tensor,
        c_noise: Tensor,
        label: Tensor | None,
        scalars: Tensor | None,
        tokens: Tensor | None,
        tokens_mask: Tensor | None,
        maps: Tensor | None = None,
    ) -> None:
        """Raises ValueError where a tensor is missing, is not expected, or has another shape than it should."""
        batch, axes = len(x), ("L", "H, W", "D, H, W")[self.spatial - 1]
        if x.ndim != 2 + self.spatial or x.shape[1] != self.channels:
            raise ValueError(f"x has shape {tuple(x.shape)}, but this network takes (B, {self.channels}, {axes})")
        if c_noise.shape != (batch,):
            raise ValueError(f"c_noise has shape {tuple(c_noise.shape)}, but the batch of x is {batch}")
        length = tokens.shape[1] if tokens is not None and tokens.ndim == 3 else 1
        for name, given, argument, width, shape in (
            ("label", label, "classes", self.classes, (batch,)),
            ("scalars", scalars, "scalars", self.scalars, (batch, self.scalars)),
            ("tokens", tokens, "tokens", self.tokens, (batch, length, self.tokens)),
            ("maps", maps, "maps", self.maps, (batch, self.maps, *x.shape[2:])),
        ):
            if given is None and width:
                raise ValueError(f"this network needs {name}: it was built with {argument}={width}")
            if given is not None and not width:
                raise ValueError(f"this network takes no {name}: it was built with {argument}=0")
            if given is not None and given.shape != shape:
                raise ValueError(f"{name} has shape {tuple(given.shape)}, but should have {shape}")
        if tokens_mask is not None and (tokens is None or tokens_mask.shape != tokens.shape[:2]):
            raise ValueError("tokens_mask should be (B, L), beside tokens (B, L, D)")

    @staticmethod
    def beside(x: Tensor, maps: Tensor | None) -> Tensor:
        """x (B, C, *axes) with the maps as further channels."""
        return x if maps is None else torch.cat([x, maps.to(x)], dim=1)

    def blind(self, layers: Sequence[int] = ()) -> "Backbone":
        """The same weights, where positions attend to themselves alone in these blocks, counted as they run.

        None given, it is the one in the middle; raises ValueError where there is no such block or it does not attend.
        """
        from .weaker import blind

        return blind(self, layers)

    def without(self, layers: Sequence[int] = ()) -> "Backbone":
        """The same weights without these blocks, which hand on what they get. Raises as `blind` does."""
        from .weaker import without

        return without(self, layers)

    def run(self, block: Callable[..., Tensor], *args: Tensor | None) -> Tensor:
        """A block's output; with `checkpoint`, its inner tensors are computed again when gradients are."""
        if self.checkpoint and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)


def remembering(init: Callable[..., None]) -> Callable[..., None]:
    """The same `__init__`, leaving its arguments in `config`."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self: Backbone, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self.config = {name: plain(value) for name, value in list(bound.arguments.items())[1:]}

    return wrapped


def plain(value: Any) -> Any:
    return [plain(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def whole(name: str, value: Any, low: int, high: int) -> int:
    """The value, if it is a whole number within bounds; they hold before anything is allocated."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} should be a whole number from {low} to {high}, not {str(value)[:40]}")
    return value


def wholes(name: str, values: Any, low: int, high: int, most: int) -> tuple[int, ...]:
    """The values as a tuple of one to `most` whole numbers within bounds."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not 1 <= len(values) <= most:
        raise ValueError(f"{name} should be a list of 1 to {most} whole numbers, not {str(values)[:40]}")
    return tuple(whole(name, value, low, high) for value in values)


def real(name: str, value: Any, low: float, high: float) -> float:
    """The value, if it is a number within bounds."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} should be a number from {low:g} to {high:g}, not {str(value)[:40]}")
    return value


def truth(name: str, value: Any) -> bool:
    """The value, if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be true or false, not {str(value)[:40]}")
    return value


def zeroed(layer: nn.Module) -> Any:
    """The layer, with every parameter zero: what it feeds starts as if it were absent."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def differentiated(*parts: Tensor) -> bool:
    """Whether what is computed from the parts is, backwards or forwards."""
    backwards = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    return backwards or forward_ad._current_level >= 0
