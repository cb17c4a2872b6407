"""What training does about numbers that are not finite: skip, back off, then stop with a diagnosis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..errors import ReverieError, some
from .checkpoints import KEPT


class NotFinite(ReverieError):
    """A number that is not finite where training needs one; nothing was updated with it."""


@dataclass
class Guard:
    """Every fault adds 1 to `score`, every good update takes 1 / `recovery` away, down to 0.

    An update at fault is skipped. From a score of 1 on, each further 1 halves the rate; at `patience` training stops.
    So one bad batch in a while costs nothing but itself, and `patience` in a row, or every few, are the end.
    The score is all the state there is, and is saved with a checkpoint.
    """

    patience: float = 8
    recovery: float = 32
    score: float = 0.0

    @property
    def factor(self) -> float:
        """Of the learning rate."""
        return float(0.5 ** max(0.0, self.score - 1))

    def passed(self) -> None:
        self.score = max(0.0, self.score - 1 / self.recovery)

    def failed(self, diagnosis: str) -> None:
        """Raises NotFinite once patience is at its end."""
        self.score += 1
        if self.score >= self.patience:
            raise NotFinite(f"{diagnosis}. That was the last of several: nothing was learned from them. {KEPT}")


def diagnosis(what: str, seen: int, batches: Sequence[Mapping[str, Any]], loss: nn.Module) -> str:
    """Why a number is not finite, as far as can be seen. Raises NotFinite where skipping cannot help: broken weights."""
    weights = [name for name, tensor in loss.state_dict().items() if broken(tensor)]
    if weights:
        raise NotFinite(
            f"weights are not finite numbers after {seen:,} samples: {some(weights, 3)}. An update or something outside "
            f"training broke them; go on from the last checkpoint with `reverie train --resume`. {KEPT}"
        )
    data = sorted({key for batch in batches for key, value in batch.items() if broken(value)})
    why = (
        f"the data under {data} hold numbers that are not finite: check them with `reverie data check`"
        if data
        else "data and weights are finite, so training diverges: try a lower learning rate, or float32"
    )
    return f"{what} is not a finite number after {seen:,} samples; {why}"


def broken(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all().item()
