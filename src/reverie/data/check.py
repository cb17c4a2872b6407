"""What is in a data set, in lines for a person and as plain data for a program."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ReverieError, printable
from .base import Dataset, Skipped
from .described import why

SHOWN = 5
"""Examples that are named of each kind."""
CLASSES = 30


@dataclass(frozen=True)
class Check:
    """A data set seen from outside: what was found, used, skipped and why, what was changed, classes, captions, copies.

    Names are relative to the folder.
    """

    dataset: Dataset

    def lines(self) -> list[str]:
        report, dataset = self.dataset.report, self.dataset
        lines = [f"found {self.found}, used {report.used}, skipped {self.found - report.used}"]
        lines += _reasons(report.skipped)
        if report.sizes:
            common = sorted(report.sizes.items(), key=lambda one: -one[1])
            listed = _some([f"{size} ({count})" for size, count in common])
            lines.append(f"sizes found: {listed}")
        if report.changes:
            lines.append(f"changed: {', '.join(f'{change} ({count})' for change, count in report.changes.items())}")
        channels, *axes = dataset.shape
        kind = "grey" if channels == 1 else "colour"
        about = f", {kind}" if dataset.modality == "Images" else ""
        lines.append(f"samples: {len(dataset)} of {channels} x {' x '.join(map(str, axes))}{about}")
        if dataset.modality == "Arrays":
            low, high = self.range
            lines.append(f"numbers: {dataset.dtype or _dtype(dataset)} from {low:.7g} to {high:.7g}")
        lines += self._classes()
        if dataset.scalar_names:
            lines.append(f"scalars: {', '.join(map(printable, dataset.scalar_names))}")
        lines += self._captions()
        if report.duplicates:
            extra = sum(len(group) - 1 for group in report.duplicates)
            lines.append(f"duplicates: {extra} samples are copies of others (they are used)")
            lines += [f"  {_some(list(group), ' = ')}" for group in report.duplicates[:SHOWN]]
        if report.conflicts:
            lines.append(f"doubtful: {self._conflicts()}")
            lines += [f"  {_some(list(group), ' = ')}" for group in report.conflicts[:SHOWN]]
        lines += [f"{'doubtful' if one in report.doubts else 'note'}: {printable(one)}" for one in report.notes]
        if dataset.test is not None:
            lines.append(f"held out: {len(dataset.test)}")
        return lines

    @property
    def found(self) -> int:
        """All that was looked at: used or skipped, folders that were not entered among the latter."""
        report = self.dataset.report
        return max(report.found, report.used + len(report.skipped))

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest number."""
        low, high = self.dataset.raw.aminmax()
        return low.item(), high.item()

    def as_dict(self) -> dict[str, Any]:
        """The whole report, every name included: what can be written as JSON, in which no name is absolute."""
        report, dataset = self.dataset.report, self.dataset
        counts = Counter(dataset.values["label"].tolist()) if dataset.classes else Counter()
        used = [caption for caption in dataset.captions if caption]
        return _encodable({
            "name": dataset.name,
            "kind": dataset.modality.lower(),
            "found": self.found,
            "used": report.used,
            "skipped": _listed(report.skipped),
            "sizes": dict(report.sizes),
            "changes": dict(report.changes),
            "samples": {"count": len(dataset), "shape": list(dataset.shape), "dtype": dataset.dtype or _dtype(dataset),
                        "range": list(self.range)},
            "classes": {name: counts[i] for i, name in enumerate(dataset.classes)},
            "without_class": counts[-1],
            "scalars": list(dataset.scalar_names),
            "captions": {"count": len(used), "distinct": len(set(used)), "encodings": dict(report.encodings),
                         "faults": _listed(report.faults)},
            "duplicates": report.duplicates,
            "conflicts": report.conflicts,
            "notes": [note for note in report.notes if note not in report.doubts],
            "doubts": self.doubts(),
        })  # fmt: skip

    def doubts(self) -> list[str]:
        """All that `--strict` refuses, a sentence each; none where every file is used and nothing had to be guessed."""
        report = self.dataset.report
        doubts = []
        if report.skipped:
            doubts.append(
                f"{len(report.skipped)} skipped{why(report.skipped)}, such as {_some(_names(report.skipped)[:2])}"
            )
        if report.faults:
            doubts.append(f"{len(report.faults)} captions not used{why(report.faults)}")
        if report.duplicates:
            extra = sum(len(group) - 1 for group in report.duplicates)
            doubts.append(f"{extra} samples are copies of others, such as {_some(list(report.duplicates[0]), ' = ')}")
        if report.conflicts:
            doubts.append(self._conflicts())
        return [printable(one) for one in (*doubts, *report.doubts)]

    def require_clean(self) -> None:
        """Raises ReverieError where there is any doubt."""
        if doubts := self.doubts():
            raise ReverieError(f"--strict: {'; '.join(doubts)}. Mend the data, or leave out --strict")

    def _conflicts(self) -> str:
        count = len(self.dataset.report.conflicts)
        return f"{count} sample{'s are' if count > 1 else ' is'} in more than one class"

    def _captions(self) -> list[str]:
        report, captions = self.dataset.report, [one for one in self.dataset.captions if one]
        if not (captions or report.faults):
            return []
        encodings = ", ".join(f"{encoding} ({count})" for encoding, count in sorted(report.encodings.items()))
        copies = len(captions) - len(set(captions))
        return [
            f"captions: {len(captions)} of {len(self.dataset)} samples have one"
            + (f", {copies} are copies of others" if copies else "")
            + (f"; files in {encodings}" if encodings else ""),
            *_reasons(report.faults),
        ]

    def _classes(self) -> list[str]:
        dataset = self.dataset
        if not dataset.classes:
            return ["classes: none"]
        counts = Counter(dataset.values["label"].tolist())
        listed = [f"{printable(name)} ({counts[i]})" for i, name in enumerate(dataset.classes[:CLASSES])]
        more = [f"and {len(dataset.classes) - CLASSES} more"] if len(dataset.classes) > CLASSES else []
        without = [f"without one ({counts[-1]})"] if counts[-1] else []
        return [f"classes: {len(dataset.classes)}: {', '.join([*listed, *more, *without])}"]


def _reasons(skipped: Sequence[Skipped]) -> list[str]:
    """A line for each reason, the commonest first: how many, why, and some names."""
    names: dict[str, list[str]] = {}
    for one in skipped:
        names.setdefault(one.reason, []).append(one.name)
    common = sorted(names.items(), key=lambda one: -len(one[1]))
    return [f"  {len(some)} {printable(reason)}: {_some(some)}" for reason, some in common]


def _names(skipped: Sequence[Skipped]) -> list[str]:
    return [one.name for one in skipped]


def _listed(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    return [{"name": one.name, "reason": one.reason} for one in skipped]


def _dtype(dataset: Dataset) -> str:
    return str(dataset.raw.dtype).removeprefix("torch.")


def _encodable(value: Any) -> Any:
    """Plain data whose every text is one that UTF-8 has; a name that is not text gets its bytes as backslash escapes."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(one) for one in value]
    return value


def _some(names: list[str], between: str = ", ") -> str:
    more = f"{between}{len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return between.join(map(printable, names[:SHOWN])) + more
