"""What training said as it went."""

from itertools import pairwise

from ..errors import ReverieError
from ..training.logs import reports
from .base import Examination, Finding, passed

RISE = 1.15
"""The mean loss of the last tenth over the lowest of any tenth."""
PLATEAU = 0.95
"""The lowest mean loss of any tenth over the first report."""


class Log(Examination):
    """The loss is a number, falls, and does not rise at the end; the learning rate leaves zero; gradients neither vanish
    nor explode.
    """

    order = 50

    def examine(self, patient):
        path = patient.folder / "log.jsonl"
        if not path.is_file():
            yield Finding("skipped", "there is no log.jsonl: a model made to be shared")
            return
        try:
            good, broken = read_log(path)
        except ReverieError as error:
            yield Finding("fault", str(error), "take another copy of the run")
            return
        if broken:
            yield Finding("fault", f"log.jsonl, line {broken[0]}: not a report of finite numbers ({len(broken)} such lines)",
                          "training diverged or the file was changed: a lower --learning-rate, or float32",
                          len(broken), 0)  # fmt: skip
        if len(good) < 3:
            yield Finding("warning", f"log.jsonl holds {len(good)} reports: too few to judge")
            return
        if any(a["seen"] >= b["seen"] for a, b in pairwise(good)):
            yield Finding("warning", "the reports are not in order: two runs wrote into one log", "part the runs")
        losses = [report["loss"] for report in good]
        width = max(1, len(losses) // 10)
        tenths = [sum(losses[i : i + width]) / width for i in range(0, len(losses) - width + 1, width)]
        low, end = min(tenths), sum(losses[-width:]) / width
        if low > PLATEAU * losses[0]:
            yield Finding("fault", f"the loss stayed where it began: {losses[0]:.4g} at first, {low:.4g} at its lowest",
                          "a higher --learning-rate; see `learning` for parts without gradient", over(low, losses[0]),
                          PLATEAU)  # fmt: skip
        elif end > RISE * low:
            yield Finding("fault", f"the loss rises at the end: {end:.4g}, {over(end, low):.3g} times its lowest, {low:.4g}",
                          "a lower --learning-rate, or take a checkpoint before the rise", over(end, low), RISE)  # fmt: skip
        else:
            yield passed(f"the loss fell from {losses[0]:.4g} to {end:.4g}", over(end, low), RISE)
        rates = [report["learning_rate"] for report in good if "learning_rate" in report]
        if rates and not max(rates) > 0:
            yield Finding(
                "fault", "the learning rate never left 0", "set --learning-rate, and a --warmup that ends", 0.0
            )
        elif rates:
            yield passed(f"the learning rate rose to {max(rates):.2g}", max(rates))
        norms = sorted(report["grad_norm"] for report in good if "grad_norm" in report)
        if norms:
            middle, most = norms[len(norms) // 2], norms[-1]
            if not middle > 0:
                yield Finding("fault", "gradients are zero: nothing was learned", "see `learning`", middle, 0.0)
            elif most > 100 * middle:
                yield Finding("warning", f"gradients leapt to {most:.3g}, {most / middle:.0f} times the middle one",
                              "a lower --learning-rate or a longer --warmup", most / middle, 100)  # fmt: skip
            else:
                yield passed(f"gradient norms: {middle:.3g} in the middle, {most:.3g} at most", most / middle, 100)


def over(a: float, b: float) -> float:
    """a / b, and 0 where b is: a loss of nothing is no measure."""
    return a / b if b else 0.0


def read_log(path) -> tuple[list[dict[str, float]], list[int]]:
    """The reports of a log, and the numbers of the lines that are none: a last line that is cut short is forgiven."""
    good, broken = [], []
    lines = list(reports(path))
    for number, (line, report) in enumerate(lines, start=1):
        if {"seen", "loss"} <= report.keys():
            good.append(report)
        elif number < len(lines) or "NaN" in line or "Infinity" in line:
            broken.append(number)
    return good, broken
