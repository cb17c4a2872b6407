"""What an examination is, and what it finds."""

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .patient import Patient

Verdict = Literal["passed", "warning", "fault", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was measured, against which bound, and what to do where it is not well."""

    verdict: Verdict
    said: str
    mend: str = ""
    figure: float | None = None
    bound: float | None = None
    names: tuple[str, ...] = ()
    """Of the tensors, files or classes that it is about."""


class Examination(abc.ABC):
    """Looks at one thing. Concrete ones are found by `discover`; those of a lower `order` come first."""

    order: int = 50

    @abc.abstractmethod
    def examine(self, patient: "Patient") -> Iterator[Finding]:
        """The findings, one or more. A ReverieError on the way means that the rest cannot be examined, and why."""


def passed(said: str, figure: float | None = None, bound: float | None = None) -> Finding:
    return Finding("passed", said, figure=figure, bound=bound)
