"""What the run says it is, in its two files, and the data that it was trained on."""

from .. import discover
from ..core import parameterizations, schedules
from ..core.parameterizations import Karras, Parameterization
from ..core.schedules import Schedule
from ..errors import ReverieError
from .base import Examination, Finding, passed


class Origin(Examination):
    """model.json against recipe.json: schedule, parameterization, dropout; and the data's fingerprint."""

    order = 5

    def examine(self, patient):
        if not patient.settled:
            yield Finding("warning", "there is no recipe.json: what made this model is not known, so it cannot be compared",
                          "keep recipe.json beside model.json")  # fmt: skip
        else:
            yield from self.options(patient)
        try:
            data = patient.data
        except (ReverieError, TypeError) as error:
            yield Finding("skipped", f"no data, so whatever needs them is not examined: {error}", "give --data PATH")
            return
        there = {patient.settled.get("data", {}).get("fingerprint"), patient.part("about").get("data")} - {None}
        if data.fingerprint() in there and len(there) == 1:
            yield passed(f"the data are those of the run: {len(data):,} samples, fingerprint {data.fingerprint()[:16]}")
        elif len(there) > 1:
            yield Finding("fault", "model.json and recipe.json name different data", "they are of two runs: part them")
        else:
            yield Finding("fault", f"the data are not those of the run: {len(data):,} samples now, "
                          f"{patient.part('about').get('count')} then, or other contents",
                          "put the old data back, give --data PATH, or train anew")  # fmt: skip

    def options(self, patient):
        told, unlike = patient.options, []
        for key, package, base, own in (
            ("schedule", schedules, Schedule, patient.schedule),
            ("parameterization", parameterizations, Parameterization, patient.parameterization),
        ):
            if key in told:
                then = discover.parse(key, package, base, str(told[key]))
                if then != own and not (then == Karras() and own == Karras(patient.codec.std)):
                    unlike.append(f"{key} {own} where recipe.json trained {then}")
        dropout = getattr(patient.conditioner, "dropout", None)
        if dropout is not None and "dropout" in told and dropout != told["dropout"]:
            unlike.append(f"dropout {dropout} where recipe.json trained {told['dropout']}")
        if unlike:
            yield Finding("fault", f"model.json says {'; '.join(unlike)}",
                          "put back in model.json what the network was trained with", names=tuple(unlike))  # fmt: skip
        else:
            yield passed("model.json says what recipe.json trained")
        planned, seen = told.get("samples"), patient.part("about").get("seen")
        if isinstance(planned, int) and isinstance(seen, int) and seen < planned:
            yield Finding("warning", f"training stopped at {seen:,} of {planned:,} samples",
                          f"go on with `reverie train --resume {patient.run}`", seen, planned)  # fmt: skip
        elif seen is not None:
            yield passed(f"trained to its end, {seen:,} samples")
