"""What says what made a sample."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from hostile.making import Case, chunked, claiming_png, edit, nested, placed, put


def record(name: str, says: str, **changes: object) -> Case:
    """The list of a healthy sample, changed in its first entry."""

    def make(here: Path) -> None:
        shutil.copytree(os.environ["SAMPLES"], here / "made")
        edit(here / "made" / "samples.json", lambda entries: put(**changes)(entries[0]))

    return Case("record", name, make, ("replay", "made/samples.json", "--model", os.environ.get("HEALTHY", "")), says)


def picture(name: str, says: str, content: Callable[[], bytes], do: str = "replay") -> Case:
    return Case("record", f"{name}, to {do}", placed("sample.png", content), (do, "sample.png"), says)


RECORDS = [
    record("a file by ../", "not beside it", file="../../secret.npy"),
    record("an absolute file", "not beside it", file="/etc/passwd"),
    record("a file that is a number", "not beside it", file=7),
    record("weights by ../", "names weights", weights__name="../../evil"),
    record("a grid of a million million", "more steps than any", grid__steps=10**12),
    record("grids within grids, by defaults alone", "more steps than any", grid=nested("Resampled", "grid", 20)),
    record("a batch without end", "whole number", batch__size=10**12),
    record("code as sampler", "unknown sampler", sampler={"name": "os.system"}),
    record("a sampler of text", "not of the kind", sampler={"name": "DDIM", "eta": "x"}),
    record(
        "an average of no length", "length of an average", weights={"name": "average", "length": 1e-300, "sha256": "x"}
    ),
    record("a condition that is a list", "numbers by name", condition={"label": [1]}),
    record("another format", "format 1", format=[1]),
    *(
        picture(name, says, content, do)
        for do in ("replay", "info")
        for name, says, content in (
            ("a text that unpacks a thousandfold", "damaged|not a PNG", lambda: chunked(reverie=b"\0" * 2**26)),
            ("a text nested deep", "nested too deep|not valid", lambda: chunked(reverie=b"[" * 10**5)),
            ("a text that is a list", "record", lambda: chunked(reverie=b"[1]")),
            ("a text that says a key twice", "stands twice", lambda: chunked(reverie=b'{"a":1,"a":1}')),
            ("no picture at all", "not a PNG", lambda: b"#!/bin/sh\nrm -rf /"),
            ("a picture that claims sixty thousand squared", "claims|not a PNG", lambda: claiming_png(60_000, 60_000)),
        )
    ),
]
