"""What the network knows: its denoising error against what data alone would allow."""

from .base import Examination, Finding, passed
from .measures import geometric, linear_error
from .patient import MIDDLE, QUANTILES

LINEAR_BOUND = 1.0
MEAN_BOUND = 1.0


class Denoising(Examination):
    """Mean squared error by noise level against two guesses in closed form: the mean of the data, which is to know
    nothing, and the best linear one (Wiener), which is to know their covariance.
    """

    order = 20

    def examine(self, patient):
        alphas, sigmas = patient.schedule(patient.times)
        variance = patient.spectrum.mean().item()
        linear = [linear_error(patient.spectrum, a, s) for a, s in zip(alphas, sigmas, strict=True)]
        for name in (name for name in ("ema", "raw") if name in patient.weights):
            found = patient.errors(name)
            curve = ", ".join(f"{s / a:.2f}: {e:.3g} ({low:.3g})" for s, a, e, low in
                              zip(sigmas.tolist(), alphas.tolist(), found, linear, strict=True))  # fmt: skip
            table = f"error at noise/signal (best linear): {curve}; the mean: {variance:.3g}"
            worst = max(found[level] / variance for level in range(len(QUANTILES)))
            ratio = geometric([found[level] / linear[level] for level in MIDDLE])
            if not worst <= MEAN_BOUND:
                yield Finding("fault", f"{name}: worse than answering with the mean of the data, {worst:.3g} times; {table}",
                              "nothing was learned, or it is not used as it was trained: see `prediction`, `encoding`, "
                              "`average` and `fresh`", worst, MEAN_BOUND)  # fmt: skip
            elif not ratio < LINEAR_BOUND:
                yield Finding("fault", f"{name}: no better than a linear guess at middle noise levels, {ratio:.3g} times its "
                              f"error; {table}", "train longer, or with a larger network; if it was trained long, see "
                              "`prediction`, `average`, `fresh` and `log`", ratio, LINEAR_BOUND)  # fmt: skip
            else:
                yield passed(f"{name}: {ratio:.2f} of the linear guess's error at middle noise levels; {table}", ratio,
                             LINEAR_BOUND)  # fmt: skip
