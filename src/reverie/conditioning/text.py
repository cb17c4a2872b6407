"""Prompts, by frozen text encoders."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import ReverieError
from ..files import cache_folder, load_tensors, save_tensors
from ..nn.embeddings import sinusoid
from .base import Conditioner, check_dropout, each
from .encoders import PARTS, Encoder, Said, copied

MOST = 4
"""Encoders of a prompt."""
LONGEST = 2048
"""Bytes of a prompt."""


def packed(texts: Sequence[str]) -> Tensor:
    """Texts as rows of bytes (n, longest), zeros after the end: values of samples as labels are."""
    rows = [text.encode() for text in texts]
    for text, row in zip(texts, rows):
        if len(row) > LONGEST or 0 in row:
            raise ReverieError(f"a prompt is text of up to {LONGEST} bytes, which {text[:40]!r}... is not")
    width = max([len(row) for row in rows], default=1) or 1
    return torch.tensor([list(row.ljust(width, b"\0")) for row in rows], dtype=torch.uint8).reshape(len(rows), width)


def unpacked(rows: Tensor) -> list[str]:
    return [bytes(row.tolist()).rstrip(b"\0").decode() for row in rows.cpu()]


@dataclass(frozen=True)
class Text(Conditioner):
    """`tokens` (B, L, D) and `tokens_mask` (B, L), what frozen encoders make of `prompt`, one after another in their width.

    With `empty`, what says nothing is the empty prompt, and every token counts, padding too, as Stable Diffusion was
    trained. Otherwise it is no token at all, and so is an empty prompt; with probability `dropout` a sample's are withheld
    in training. With `pooled`, the width of the encoder's vector for the whole prompt, that is told as `scalars`; it is
    zero where nothing is said. Values are prompts as rows of bytes, see `packed`.
    """

    encoders: tuple[Encoder, ...] = (Encoder(),)
    width: int = 384
    dropout: float = 0.1
    empty: bool = False
    pooled: int = 0
    made: dict[str, Said] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was encoded, by prompt; of as many prompts as training has, and a few more."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.encoders) <= MOST or not 0 < self.width <= 2**16 or not 0 <= self.pooled <= 2**16:
            raise ValueError(f"text needs one to {MOST} encoders, and widths of up to 65536")
        check_dropout(self.dropout)

    @classmethod
    def variants(cls) -> "tuple[Text, ...]":
        """None: what it does depends on networks that are not here."""
        return ()

    @property
    def keys(self):
        return ("prompt",)

    def attach(self, folder: Path) -> None:
        object.__setattr__(self, "_run", Path(folder))

    def at(self, places: Mapping[str, tuple[Path, Path]]) -> Self:
        """The same, its encoders where they lie in another tool's folder: of the network, and of its tokenizer."""
        object.__setattr__(self, "_places", dict(places))
        return self

    def place(self, encoder: Encoder) -> tuple[Path, Path]:
        places: Mapping[str, tuple[Path, Path]] = getattr(self, "_places", {})
        return places.get(encoder.folder) or (encoder.place(getattr(self, "_run", None)),) * 2

    def store(self, folder: Path) -> None:
        """Copies the encoders that are parts of this run, or of another tool's folder, into a run that is written."""
        run: Path | None = getattr(self, "_run", None)
        for one in self.encoders:
            if one.folder in getattr(self, "_places", {}) or (run and (run / PARTS / one.folder).is_dir()):
                copied(self.place(one), folder / PARTS / one.folder)

    def encoded(self, texts: Sequence[str]) -> Said:
        """What the encoders make of texts, each encoded once; an empty one has no token that counts, but with `empty`."""
        lacking = [text for text in dict.fromkeys(texts) if text not in self.made]
        loaded = [one.loaded(*self.place(one)) for one in self.encoders] if lacking else []
        for one in loaded:
            one.tell(lacking)
        for first in range(0, len(lacking), 64):
            some = lacking[first : first + 64]
            found = self.joined([one.said(some) for one in loaded])
            if found.tokens.shape[2] != self.width:
                raise ReverieError(f"the text encoder makes vectors of {found.tokens.shape[2]}, not of {self.width}")
            kept = torch.float32 if self.empty else torch.float16
            for i, text in enumerate(some):
                said = Said(found.tokens[i].to(kept), found.mask[i], None if found.pooled is None else found.pooled[i])
                silent = not text and not self.empty
                self.made[text] = said.each(torch.zeros_like)._replace(tokens=said.tokens) if silent else said
        rows = [self.made[text] for text in texts]
        pooled = None if rows[0].pooled is None else torch.stack([row.pooled for row in rows if row.pooled is not None])
        return Said(torch.stack([row.tokens for row in rows]).float(), torch.stack([row.mask for row in rows]), pooled)

    def remember(self, texts: Sequence[str]) -> None:
        """Encodes texts that training will ask for, from the user's cache where they were encoded before."""
        order = sorted(set(texts))
        name = hashlib.sha256(repr((self.encoders, self.empty, order)).encode()).hexdigest()[:32]
        path = cache_folder("prompts") / f"{name}.safetensors"
        found = load_tensors(path) if path.is_file() else {}
        if not {"tokens", "mask"} <= found.keys() or {len(one) for one in found.values()} != {len(order)}:
            self.encoded(order)
            rows = [self.made[text] for text in order]
            found = {part: torch.stack([getattr(row, part) for row in rows]) for part in Said._fields
                     if getattr(rows[0], part) is not None}  # fmt: skip
            with suppress(OSError):  # a cache that cannot be written is done without
                save_tensors(path, found)
        pooled = found.get("pooled", [None] * len(order))
        self.made.update({text: Said(*row) for text, row in zip(order, zip(found["tokens"], found["mask"], pooled))})

    def joined(self, found: Sequence[Said]) -> Said:
        """What several encoders say: their vectors side by side, and the last one's of the whole."""
        tokens = torch.cat([one.tokens for one in found], dim=2)
        return Said(tokens, found[0].mask, found[-1].pooled)

    def told(self, said: Said) -> dict[str, Tensor]:
        """The backbone's arguments."""
        found = {"tokens": said.tokens} if self.empty else {"tokens": said.tokens, "tokens_mask": said.mask}
        if self.pooled and (said.pooled is None or said.pooled.shape[1] != self.pooled):
            raise ReverieError(f"the text encoder has no vector of {self.pooled} for the whole of a prompt")
        return found | {"scalars": said.pooled} if self.pooled and said.pooled is not None else found

    def nothing(self) -> Said:
        """What says nothing, once."""
        return self.encoded([""])

    def __call__(self, values, noise=None):
        said = self.encoded(unpacked(values["prompt"]))
        if noise is not None and self.dropout:
            hidden = noise.uniform(torch.empty(len(said.mask))) < self.dropout
            kept = [i if not h else len(hidden) for i, h in enumerate(hidden.tolist())]
            blank = iter(self.nothing())
            said = said.each(lambda row: torch.cat([row, next(blank)])[kept])  # type: ignore[list-item]
        return self.told(said)

    def null(self, n):
        return self.told(self.nothing().each(lambda one: one.expand(n, *one.shape[1:])))

    def parse(self, entries: Any) -> dict[str, Tensor]:
        """Text is a prompt; None asks for nothing in particular."""
        texts = []
        for entry in each(entries):
            entry = entry.get("prompt") if isinstance(entry, Mapping) else entry
            if entry is not None and not isinstance(entry, str):
                raise ReverieError(f"a prompt is text, not {str(entry)[:40]!r}")
            texts.append(entry or "")
        return {"prompt": packed(texts)}

    def backbone_options(self):
        return {"tokens": self.width} | ({"scalars": self.pooled} if self.pooled else {})

    @property
    def has_null(self):
        return self.dropout > 0 or self.empty


@dataclass(frozen=True)
class SizedText(Text):
    """`Text`, and as `scalars` its vector for the whole prompt beside six numbers: how large the picture was, how it was
    cropped, and how large it is to be.

    The numbers are told as sinusoids of `frequencies` each. With `zeros`, what says nothing is zero instead of the empty
    prompt. The conditions of Stable Diffusion XL: Podell et al. 2023, https://arxiv.org/abs/2307.01952
    """

    pooled: int = 1280
    sizes: tuple[int, int, int, int, int, int] = (1024, 1024, 0, 0, 1024, 1024)
    frequencies: int = 256
    zeros: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.frequencies <= 4096 or not self.pooled:
            raise ValueError("sizes are told by 1 to 4096 frequencies, beside a vector for the whole prompt")

    def told(self, said):
        numbers = sinusoid(torch.tensor(self.sizes, dtype=torch.float32), self.frequencies).flatten()
        found = super().told(said)
        return found | {"scalars": torch.cat([found["scalars"], numbers.expand(len(found["scalars"]), -1)], dim=1)}

    def nothing(self):
        said = super().nothing()
        return said.each(torch.zeros_like)._replace(mask=said.mask) if self.zeros else said

    def backbone_options(self):
        return super().backbone_options() | {"scalars": self.pooled + 6 * self.frequencies}


@dataclass(frozen=True)
class MaskedText(Text):
    """`Text` of prompts in small letters, of which what fills them up is not attended to, nor of the empty one.

    The conditions of PixArt: Chen et al. 2023, https://arxiv.org/abs/2310.00426
    """

    empty: bool = True

    def encoded(self, texts):
        return super().encoded([text.lower().strip() for text in texts])

    def told(self, said):
        return {**super().told(said), "tokens_mask": said.mask}


@dataclass(frozen=True)
class LevelledText(Text):
    """`Text`, and as `label` one of `levels` levels of noise in a picture that is told beside it, the same of all samples.

    The conditions of Stable Diffusion's upscaler: Ho et al. 2021, https://arxiv.org/abs/2106.15282
    """

    empty: bool = True
    level: int = 20
    levels: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.level < self.levels <= 2**16:
            raise ValueError(f"the level is one of {self.levels}, not {self.level}")

    def told(self, said):
        return {**super().told(said), "label": torch.full((len(said.tokens),), self.level)}

    def backbone_options(self):
        return super().backbone_options() | {"classes": self.levels - 1}


@dataclass(frozen=True)
class PooledText(Text):
    """`Text` of the second of two encoders, and as `scalars` the first one's vector for the whole prompt, as Flux is told."""

    empty: bool = True
    pooled: int = 768

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.encoders) != 2 or not self.pooled:
            raise ValueError("pooled text is of two encoders, and a vector for the whole")

    @classmethod
    def variants(cls) -> "tuple[PooledText, ...]":
        return ()

    def joined(self, found):
        first, second = found
        return Said(second.tokens, second.mask, first.pooled)


@dataclass(frozen=True)
class StackedText(Text):
    """`Text` of two encoders side by side, and of a third, wider one after them; their pooled vectors side by side as `scalars`.

        tokens = [[a_1, b_1, 0], ..., [a_L, b_L, 0], c_1, ..., c_M]

    Where there is no third one, M is `blank`, and its vectors are zero. The conditions of Stable Diffusion 3: Esser et al. 2024,
    https://arxiv.org/abs/2403.03206
    """

    blank: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.encoders) not in (2, 3) or not 0 <= self.blank <= 4096 or (self.blank and len(self.encoders) == 3):
            raise ValueError("stacked text is of two encoders and blank vectors, up to 4096, or of three encoders")

    def joined(self, found):
        first, second, *third = found
        if first.pooled is None or second.pooled is None:
            raise ReverieError("the first two text encoders have no vectors for the whole of a prompt")
        tokens = torch.cat([first.tokens, second.tokens], dim=2)
        if tokens.shape[2] > self.width:
            raise ReverieError(f"two text encoders make vectors of {tokens.shape[2]}, which are more than {self.width}")
        tokens = torch.nn.functional.pad(tokens, (0, self.width - tokens.shape[2]))
        after = third[0].tokens if third else tokens.new_zeros(len(tokens), self.blank, self.width)
        if after.shape[2] != self.width:
            raise ReverieError(f"the third text encoder makes vectors of {after.shape[2]}, not of {self.width}")
        mask = torch.ones(len(tokens), tokens.shape[1] + after.shape[1], dtype=torch.bool)
        return Said(torch.cat([tokens, after], dim=1), mask, torch.cat([first.pooled, second.pooled], dim=1))
