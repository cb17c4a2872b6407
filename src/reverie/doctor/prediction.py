"""What the network predicts, found by trying."""

from collections.abc import Iterator

from .. import discover
from ..core import parameterizations, schedules
from ..core.parameterizations import Karras, NoiseInput, Parameterization
from ..core.schedules import Cosine, Rectified
from ..discover import describe
from .base import Examination, Finding, passed
from .measures import geometric, linear_error
from .patient import MIDDLE

BOUND = 1.3
"""Times the error of the best other reading. Of healthy networks the own one was best by 1.1 (640 samples) to 3."""


ROWS = 24


class Prediction(Examination):
    """The network read as predicting each thing that is known, on its own schedule, then on others where none fits:
    model.json must be the reading that fits.
    """

    order = 25

    def examine(self, patient):
        own = patient.parameterization
        for name in (name for name in ("ema", "raw") if name in patient.weights):
            network = patient.network(name)
            tried = {repr(one): self.error(patient, network, parameterization=one) for one in readings(patient)}
            declared = tried.pop(repr(own))
            best = min(tried, key=lambda one: tried[one])
            if declared > BOUND * tried[best]:
                yield Finding("fault", f"{name}: the network fits {best}, model.json says {own}: {declared / tried[best]:.3g} "
                              "times the error", f"write {describe(self.named(patient, best))} as the parameterization in "
                              "model.json", declared / tried[best], BOUND, (best,))  # fmt: skip
                continue
            if declared > self.linear(patient):
                other = self.elsewhere(patient, network)
                if declared > BOUND * other[0]:
                    yield Finding("fault", f"{name}: the network fits {other[1]} better than what model.json says: "
                                  f"{declared / other[0]:.3g} times the error", "put back the schedule and the noise input "
                                  "that it was trained with", declared / other[0], BOUND, (other[1],))  # fmt: skip
                    continue
            yield passed(f"{name}: fits {own}; the next best is {best}, at {tried[best] / declared:.3g} times the error",
                         declared / tried[best], BOUND)  # fmt: skip

    def error(self, patient, network, **how) -> float:
        return geometric([patient.error(network, level, most=ROWS, **how) for level in MIDDLE])

    def linear(self, patient) -> float:
        return geometric([linear_error(patient.spectrum, *patient.schedule(patient.times[level])) for level in MIDDLE])

    def named(self, patient, text: str) -> Parameterization:
        return next(one for one in readings(patient) if repr(one) == text)

    def elsewhere(self, patient, network) -> tuple[float, str]:
        """The least error on other schedules and noise inputs, and which that is."""
        inputs = [cls() for cls in discover.discover(parameterizations, NoiseInput).values()]
        known = list(dict.fromkeys([patient.schedule, Cosine(), Rectified(), schedules.VE(), schedules.LinearVP()]))
        found = [
            (self.error(patient, network, schedule=schedule, noise_input=noise_input), f"{schedule} with {noise_input}")
            for schedule in known
            for noise_input in dict.fromkeys([patient.noise_input, *inputs])
            if (schedule, noise_input) != (patient.schedule, patient.noise_input)
        ]  # fmt: skip
        least = min(one[0] for one in found)
        return next(one for one in found if one[0] <= 1.02 * least)  # the nearest to model.json of those that fit alike


def readings(patient) -> Iterator[Parameterization]:
    """The declared one first, then all that are known, Karras's for this data."""
    own = patient.parameterization
    others = [cls() for cls in discover.discover(parameterizations, Parameterization).values()]
    for one in dict.fromkeys([own, *others, Karras(round(patient.spread, 4))]):
        alike = isinstance(one, Karras) and isinstance(own, Karras) and abs(one.std_data / own.std_data - 1) < 0.05
        if one == own or not alike:
            yield one
