"""All examinations of one run, in order."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import discover, doctor
from ..errors import ReverieError
from .base import Examination, Finding
from .patient import Patient


class Examined(NamedTuple):
    """What one examination found, and the seconds it took."""

    name: str
    findings: list[Finding]
    seconds: float


def examinations() -> dict[str, Examination]:
    """By name, in the order in which they are done."""
    found = discover.discover(doctor, Examination)
    return {name.lower(): cls() for name, cls in sorted(found.items(), key=lambda item: (item[1].order, item[0]))}


def examine(patient: Patient, names: tuple[str, ...] = ()) -> Iterator[Examined]:
    """Every examination, or those of these names, one after another. Raises ReverieError for a name that is unknown."""
    known = examinations()
    wanted = {discover.lookup("examination", doctor, Examination, name).__name__.lower() for name in names}
    for name in known:
        if wanted and name not in wanted:
            continue
        started, findings = time.monotonic(), []
        try:
            for finding in known[name].examine(patient):
                findings.append(finding)  # noqa: PERF402
        except ReverieError as error:
            findings.append(Finding("skipped", f"could not be examined: {error}"))
        yield Examined(name, findings, time.monotonic() - started)


def faults(examined: list[Examined]) -> int:
    return sum(finding.verdict == "fault" for one in examined for finding in one.findings)


def as_dict(run: str, examined: list[Examined]) -> dict[str, Any]:
    """Plain data for JSON: findings in order, and how many there are of each verdict."""
    findings = [{"examination": one.name, **_plain(finding)} for one in examined for finding in one.findings]
    verdicts = ("passed", "warning", "fault", "skipped")
    return {"run": run, "counts": {v: sum(f["verdict"] == v for f in findings) for v in verdicts}, "findings": findings}


def _plain(finding: Finding) -> dict[str, Any]:
    def number(value: float | None) -> float | str | None:
        return value if value is None or abs(value) < float("inf") else str(value)

    return {"verdict": finding.verdict, "said": finding.said, "mend": finding.mend, "figure": number(finding.figure),
            "bound": number(finding.bound), "names": list(finding.names)}  # fmt: skip
