"""Pickles that write over the canary, wherever a file is read."""

from pathlib import Path

import numpy as np
from hostile.making import RUN, SAMPLE, Case, Evil, archive, newest, numbers, pickled, placed, rehashed, run


def objects() -> bytes:
    return numbers(np.array([Evil()], dtype=object), allow_pickle=True)


def poisoned(here: Path, style: str) -> None:
    """A checkpoint whose weights are a pickle, with the hash in the manifest put right."""
    path = newest(run(here))
    (path / "raw.safetensors").write_bytes(pickled(style))
    rehashed(path, "raw.safetensors")


PICKLES = [
    *(
        Case(
            "pickle",
            f"{ending}, {style}, to {do[0]}",
            placed(f"evil{ending}", lambda style=style: pickled(style)),
            (*do, f"evil{ending}"),
            says,
        )
        for ending in (".pt", ".ckpt", ".pkl")
        for style in ("raw", "zip")
        for do, says in (
            (("info",), "is no sample"),
            (("sample",), "unknown run"),
            (("replay",), "is no sample"),
            (("data", "check"), "nothing in|can be read as data"),
            (("train",), "nothing in|can be read as data"),
        )
    ),
    *(
        Case(
            "pickle",
            f"weights renamed .safetensors, {style}",
            lambda here, style=style: (run(here) / "weights" / "ema.safetensors").write_bytes(pickled(style)),
            SAMPLE,
            "credible size",
        )
        for style in ("raw", "zip")
    ),
    *(
        Case(
            "pickle",
            f"a checkpoint renamed .safetensors, {style}",
            lambda here, style=style: poisoned(here, style),
            ("@checkpoint", "run"),
            "credible size",
        )
        for style in ("raw", "zip")
    ),
    Case(
        "pickle",
        "an average renamed .safetensors",
        lambda here: [p.write_bytes(pickled()) for p in (run(here) / "ema").iterdir()],
        (*SAMPLE, "--average", "0.1"),
        "credible size",
    ),
    Case("pickle", "an array of objects", placed("evil.npy", objects), ("train", "evil.npy"), "Python objects"),
    Case(
        "pickle",
        "an array of objects in an archive",
        placed("evil.npz", lambda: archive(x__npy=objects())),
        ("train", "evil.npz"),
        "Python objects",
    ),
    Case(
        "pickle",
        "objects beside good numbers",
        placed("evil.npz", lambda: archive(x__npy=numbers(np.zeros((4, 1, 8))), y__npy=objects())),
        ("data", "check", "evil.npz"),
        "Python objects",
    ),
    Case("pickle", "a bare pickle named .npy", placed("evil.npy", pickled), ("train", "evil.npy"), "not a .npy file"),
    Case("pickle", "a bare pickle named .npz", placed("evil.npz", pickled), ("train", "evil.npz"), "damaged"),
    Case(
        "pickle", "a folder of arrays of objects", placed("data/evil.npy", objects), ("train", "data"), "Python objects"
    ),
    Case(
        "pickle",
        "a bare pickle among records",
        placed("samples.json", pickled),
        ("replay", "samples.json"),
        "cannot be read",
    ),
    Case(
        "pickle",
        "a bare pickle as model.json",
        lambda here: (run(here) / "model.json").write_bytes(pickled()),
        RUN,
        "cannot be read",
    ),
]
