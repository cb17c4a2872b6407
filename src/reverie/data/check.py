"""What is in a data set, in lines for a person."""

from collections import Counter
from dataclasses import dataclass

from .base import Dataset

SHOWN = 5
"""Examples that are named of each kind."""
CLASSES = 30


@dataclass(frozen=True)
class Check:
    """A data set seen from outside: what was found, used and skipped and why, sizes, classes, duplicates."""

    dataset: Dataset

    def lines(self) -> list[str]:
        report, dataset = self.dataset.report, self.dataset
        skipped, passed_over = report.found - report.used, len(report.skipped)
        lines = [f"found {report.found}, used {report.used}, skipped {max(skipped, passed_over)}"]
        for reason, count in Counter(one.reason for one in report.skipped).most_common():
            lines.append(f"  {count} {reason}: {_some([one.name for one in report.skipped if one.reason == reason])}")
        if report.sizes:
            common = sorted(report.sizes.items(), key=lambda one: -one[1])
            listed = _some([f"{size} ({count})" for size, count in common])
            lines.append(f"sizes found: {listed}")
        channels, *axes = dataset.shape
        kind = "grey" if channels == 1 else "colour"
        about = f", {kind}" if dataset.modality == "Images" else ""
        lines.append(f"samples: {len(dataset)} of {channels} x {' x '.join(map(str, axes))}{about}")
        lines += self._classes()
        if dataset.scalar_names:
            lines.append(f"scalars: {', '.join(map(printable, dataset.scalar_names))}")
        if report.duplicates:
            extra = sum(len(group) - 1 for group in report.duplicates)
            lines.append(f"duplicates: {extra} samples are copies of others (they are used)")
            lines += [f"  {_some(list(group), ' = ')}" for group in report.duplicates[:SHOWN]]
        lines += [f"note: {printable(note)}" for note in report.notes]
        if dataset.test is not None:
            lines.append(f"held out: {len(dataset.test)}")
        return lines

    def _classes(self) -> list[str]:
        dataset = self.dataset
        if not dataset.classes:
            return ["classes: none"]
        counts = Counter(dataset.values["label"].tolist())
        listed = [f"{printable(name)} ({counts[i]})" for i, name in enumerate(dataset.classes[:CLASSES])]
        more = [f"and {len(dataset.classes) - CLASSES} more"] if len(dataset.classes) > CLASSES else []
        without = [f"without one ({counts[-1]})"] if counts[-1] else []
        return [f"classes: {len(dataset.classes)}: {', '.join([*listed, *more, *without])}"]


def printable(text: str) -> str:
    """Text from a file name, without what would move the cursor of a terminal or cannot be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _some(names: list[str], between: str = ", ") -> str:
    more = f"{between}{len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return between.join(map(printable, names[:SHOWN])) + more
