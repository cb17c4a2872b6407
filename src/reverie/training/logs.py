"""What training says as it goes: a line of JSON a report, TensorBoard events, and one line on the screen."""

import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .. import files
from ..errors import ReverieError
from ..reading import parse_json, read_bytes

LONGEST = 32 * 2**20
"""Bytes of a log: some hundred reports take a hundred times less."""


class Log:
    """RUN/log.jsonl, one object a report, and TensorBoard events beside it where that package is installed.

    Opened for a run that goes on from `seen`, it forgets the reports after that.
    """

    def __init__(self, run: Path, seen: int = 0) -> None:
        path = Path(run) / "log.jsonl"
        kept = [line for line, report in reports(path) if report.get("seen", inf) <= seen]
        files.write_text(path, "".join(line + "\n" for line in kept))
        self.file = open(path, "a", buffering=1)  # noqa: SIM115
        self.board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(str(Path(run) / "events"), purge_step=seen)

    def report(self, seen: int, figures: Mapping[str, float]) -> None:
        """Rounds to seven digits; figures are finite."""
        rounded = {key: float(f"{value:.7g}") for key, value in figures.items()}
        self.file.write(json.dumps({"seen": seen, **rounded}, allow_nan=False) + "\n")
        for key, value in figures.items():
            if self.board:
                self.board.add_scalar(key, value, seen)

    def close(self) -> None:
        self.file.close()
        if self.board:
            self.board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def reports(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Every line of a log that may be anybody's, and its figures by name: empty where the line is no report of finite
    numbers, such as one cut short by a crash. Raises ReverieError where the file is larger than any log.
    """
    for line in read_bytes(path, LONGEST).decode(errors="replace").splitlines() if path.is_file() else ():
        try:
            report = parse_json(line, path.name)
        except ReverieError:
            report = None
        sound = isinstance(report, dict) and all(type(value) in (int, float) for value in report.values())
        yield line, report if sound else {}


class Progress:
    """One line: seen/total, loss, rate, samples/s, time left, memory. Rewritten on a terminal, every few seconds else."""

    def __init__(self, total: int, seen: int = 0, every: float = 10.0) -> None:
        self.total, self.first, self.every, self.terminal = total, seen, every, sys.stderr.isatty()
        self.started = self.said = time.monotonic()

    def __call__(self, seen: int, loss: float, rate: float) -> None:
        now = time.monotonic()
        if now - self.said < (0.2 if self.terminal else self.every) and seen < self.total:
            return
        self.said = now
        speed = (seen - self.first) / max(now - self.started, 1e-9)
        left = clock((self.total - seen) / max(speed, 1e-9))
        line = (
            f"{seen:,}/{self.total:,} samples | loss {loss:.4f} | rate {rate:.2e} | {speed:,.0f} samples/s | "
            f"{left} left | {memory() / 2**30:.1f} GiB"
        )
        end = "" if self.terminal and seen < self.total else "\n"
        print(("\r\x1b[2K" if self.terminal else "") + line, end=end, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """1:05 or 2:07:30."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def memory() -> int:
    """The most bytes this process has held in memory: of the accelerator where there is one."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
