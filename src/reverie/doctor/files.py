"""The files of the run: there, whole, finite, and fitting each other."""

from .. import files
from ..errors import ReverieError, some
from ..files import fill
from ..systems.base import FORMAT, WEIGHTS
from ..systems.described import build_backbone
from ..training import checkpoints
from .base import Examination, Finding, passed


class Files(Examination):
    """model.json can be read and built; every file of weights is whole, finite and fits it; checkpoints match their
    hashes, and the newest holds the weights that the run samples with.
    """

    order = 0

    def examine(self, patient):
        described = patient.description
        if described.get("format") != FORMAT:
            yield Finding("fault", f"model.json is of format {described.get('format')!r}, this reverie reads {FORMAT}",
                          "open it with the version that wrote it: see versions in recipe.json")  # fmt: skip
        yield from self.weights(patient)
        yield from self.loads(patient)
        yield from self.checkpoints(patient)

    def weights(self, patient):
        network, folder = build_backbone(patient.part("backbone")), patient.folder / "weights"
        for path in sorted(folder.glob("*.safetensors")):
            try:
                tensors = files.load_tensors(path)
                broken = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
                if broken:
                    yield Finding("fault", f"weights/{path.name} holds numbers that are not finite in {some(broken)}",
                                  restoring(patient), names=tuple(broken))  # fmt: skip
                    continue
                fill(network, tensors, f"weights/{path.name}")
            except ReverieError as error:
                yield Finding("fault", str(error), restoring(patient))
                continue
            yield passed(f"weights/{path.name}: {len(tensors)} tensors, finite, and they fit model.json")
        there = {name for name in WEIGHTS if (folder / f"{name}.safetensors").is_file()}
        if {"ema", "raw"} <= patient.weights.keys() and patient.weights["ema"].keys() != patient.weights["raw"].keys():
            unlike = sorted(patient.weights["ema"].keys() ^ patient.weights["raw"].keys())
            yield Finding("fault", f"ema and raw weights differ in their tensors: {some(unlike)}", restoring(patient),
                          names=tuple(unlike))  # fmt: skip
        if not there:
            yield Finding("fault", "there are no weights", restoring(patient))
        elif "ema" not in there:
            yield Finding("fault", "weights/ema.safetensors is missing, and it is what `reverie sample` takes",
                          f"{restoring(patient)}; until then: --weights raw")  # fmt: skip
        elif "raw" not in there and checkpoints.saved(patient.folder / "checkpoints"):
            yield Finding("warning", "weights/raw.safetensors is missing", restoring(patient))

    def loads(self, patient):
        if not patient.weights:
            return
        try:
            patient.system  # noqa: B018
        except ReverieError as error:
            yield Finding(
                "fault", f"the run does not load: {error}", "put back what model.json said when it was trained"
            )

    def checkpoints(self, patient):
        found = checkpoints.saved(patient.folder / "checkpoints")
        newest = None
        for path in found:
            try:
                newest = checkpoints.load(path)
            except ReverieError as error:
                yield Finding("fault", f"checkpoints/{path.name} is damaged: {error}",
                              "delete that folder: resuming skips it, and goes on from the newest whole one",
                              names=(path.name,))  # fmt: skip
                continue
        if newest is None:
            if not found:
                yield passed("no checkpoints: a model made to be shared, which cannot be resumed")
            return
        whole = sum(1 for path in found if path.is_dir())
        yield passed(f"{whole} checkpoints, the newest whole one at {newest.seen:,} samples")
        if newest.seen != patient.part("about").get("seen"):
            return
        raw, average = (
            newest.tensors.get("raw"),
            newest.tensors.get(f"average-{patient.options.get('average', 0.1):.3f}"),
        )
        for name, tensors in (("raw", raw), ("ema", {**(raw or {}), **average} if average else None)):
            own = patient.weights.get(name)
            if tensors is None or own is None:
                continue
            tensors = patient.whole(tensors)
            unlike = [key for key in tensors if key not in own or not tensors[key].equal(own[key])]
            if unlike:
                yield Finding("fault", f"weights/{name}.safetensors is not what training saved at {newest.seen:,} samples: "
                              f"{len(unlike)} of {len(tensors)} tensors differ, among them {some(unlike, 3)}",
                              restoring(patient), names=tuple(unlike))  # fmt: skip
            else:
                yield passed(f"weights/{name}.safetensors is what the checkpoint at {newest.seen:,} samples holds")


def restoring(patient):
    """What brings good weights back, by what the run still has."""
    if checkpoints.saved(patient.folder / "checkpoints"):
        return f"`reverie train --resume {patient.run}` writes weights/ anew from the checkpoints"
    return "take another copy of the run, or train it again from recipe.json"
