"""Networks of diffusers, run as they are: of pipelines that none of ours has the layout of."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..discover import install_command
from ..errors import MissingDependency
from .base import Backbone, whole

MOST, MOST_SIDE, MOST_LISTED = 2**16, 1024, 16
"""Of a setting that is a whole number, of the sides that a network was made for, and of numbers in a list."""


class Lender(ABC):
    """How one class of diffusers is asked, by our words; `s` are its settings, defaults included."""

    @abstractmethod
    def takes(self, s: Mapping[str, Any]) -> dict[str, int]:
        """channels, and classes, scalars and tokens where there are some."""

    @abstractmethod
    def __call__(self, module: nn.Module, x: Tensor, c_noise: Tensor, **told: Any) -> Tensor: ...


class DiTs(Lender):
    """Peebles & Xie 2022, https://arxiv.org/abs/2212.09748; what it says of its variance is left out."""

    def takes(self, s):
        return {"channels": s["in_channels"], "classes": s["num_embeds_ada_norm"]}

    def __call__(self, module, x, c_noise, label=None, **told):
        return module(x, timestep=c_noise, class_labels=label).sample[:, : x.shape[1]]


class PixArts(Lender):
    """Chen et al. 2023, https://arxiv.org/abs/2310.00426; networks of large pictures are told their size, in pixels of 1/8."""

    def takes(self, s):
        return {"channels": s["in_channels"], "tokens": s["caption_channels"]}

    def __call__(self, module, x, c_noise, tokens=None, tokens_mask=None, **told):
        size = x.new_tensor([8.0 * n for n in x.shape[2:]]).expand(len(x), 2)
        added = {"resolution": None, "aspect_ratio": None}
        if module.use_additional_conditions:
            added = {"resolution": size, "aspect_ratio": size[:, :1] / size[:, 1:]}
        mask = None if tokens_mask is None else tokens_mask.to(x.dtype)
        out = module(
            x, encoder_hidden_states=tokens, encoder_attention_mask=mask, timestep=c_noise, added_cond_kwargs=added
        )
        return out.sample[:, : x.shape[1]]


class Fluxes(Lender):
    """Black Forest Labs 2024, https://github.com/black-forest-labs/flux; patches of 2 x 2 positions, c_noise in thousandths.

    Those that were distilled from guidance are told the scale that they imitate, 3.5.
    """

    SCALE = 3.5

    def takes(self, s):
        return {
            "channels": s["in_channels"] // 4,
            "tokens": s["joint_attention_dim"],
            "scalars": s["pooled_projection_dim"],
        }

    def __call__(self, module, x, c_noise, tokens=None, scalars=None, **told):
        (batch, channels, *_), (high, wide) = x.shape, (n // 2 for n in x.shape[2:])
        rows, columns = torch.arange(high, device=x.device), torch.arange(wide, device=x.device)
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=2).flatten(0, 1)
        patches = (
            x.reshape(batch, channels, high, 2, wide, 2)
            .permute(0, 2, 4, 1, 3, 5)
            .reshape(batch, high * wide, 4 * channels)
        )
        guided = {"guidance": x.new_full((batch,), self.SCALE)} if module.config.guidance_embeds else {}
        out = module(
            hidden_states=patches, encoder_hidden_states=tokens, pooled_projections=scalars, timestep=c_noise / 1000,
            img_ids=torch.cat([places.new_zeros(len(places), 1), places], dim=1).to(x.dtype),
            txt_ids=x.new_zeros(tokens.shape[1], 3), **guided,
        ).sample  # fmt: skip
        out = out.reshape(batch, high, wide, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return out.reshape(batch, channels, 2 * high, 2 * wide)


LENDERS: dict[str, Lender] = {
    "DiTTransformer2DModel": DiTs(),
    "PixArtTransformer2DModel": PixArts(),
    "FluxTransformer2DModel": Fluxes(),
}


class Borrowed(Backbone):
    """A network of diffusers by the name of its class and its settings, called by our words.

    Needs `pip install reverie[diffusers]`. It is always in the mode of inference: what diffusers drops at random in
    training is left in.
    """

    def __init__(self, kind: str = "DiTTransformer2DModel", settings: Mapping[str, Any] = {}) -> None:
        """Raises ValueError for a class that is not known here, and for settings that it has not or that are not credible."""
        if kind not in LENDERS:
            raise ValueError(f"networks borrowed from diffusers are {', '.join(LENDERS)}, not {str(kind)[:60]!r}")
        check_settings(settings)
        cls = lent(kind)
        known = {name: one.default for name, one in list(inspect.signature(cls.__init__).parameters.items())[1:]}
        if strange := sorted(set(settings) - set(known)):
            raise ValueError(f"{kind} has no settings called {', '.join(map(str, strange))[:100]}")
        lender, s = LENDERS[kind], {**known, **settings}
        takes = lender.takes(s)
        channels, classes = takes["channels"], takes.get("classes", 0)
        super().__init__(2, channels, channels, classes, takes.get("scalars", 0), takes.get("tokens", 0))
        self.lender, self.inside = lender, cls(**settings)
        self.eval()

    def train(self, mode: bool = True) -> "Borrowed":
        return super().train(False)

    def forward(self, x, c_noise, *, label=None, scalars=None, tokens=None, tokens_mask=None, maps=None):
        self.check(x, c_noise, label, scalars, tokens, tokens_mask, maps)
        told = {"label": label, "scalars": scalars, "tokens": tokens, "tokens_mask": tokens_mask}
        return self.lender(self.inside, x, c_noise, **told)


def check_settings(settings: Any) -> None:
    """Raises ValueError where settings are no plain data of sizes that a network could have."""
    if not isinstance(settings, Mapping) or len(settings) > 64:
        raise ValueError("the settings of a borrowed network are up to 64 values by name")
    for name, value in settings.items():
        each = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if len(each) > MOST_LISTED:
            raise ValueError(f"{str(name)[:40]} lists {len(each)} values, more than any network has")
        for one in each:
            if isinstance(one, int) and not isinstance(one, bool):
                whole(str(name)[:40], one, 0, MOST_SIDE if name == "sample_size" else MOST)
            elif not isinstance(one, (float, str, bool, type(None))):
                raise ValueError(f"{str(name)[:40]} is {str(one)[:40]!r}, which is no setting")


def lent(kind: str) -> Any:
    """The class of diffusers. Raises MissingDependency without it."""
    try:
        import diffusers
    except ModuleNotFoundError:
        raise MissingDependency(f"this network is one of diffusers' own: {install_command('diffusers')}") from None
    return getattr(diffusers, kind)
