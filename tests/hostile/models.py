"""What a model.json can say that no model of ours says."""

import json
from collections.abc import Callable
from pathlib import Path

from hostile.making import MIB, RUN, Case, edit, nested, put, run, sparse


def model(name: str, says: str, do: tuple[str, ...] = RUN, **changes: object) -> Case:
    return Case("model.json", name, lambda here: edit(run(here) / "model.json", put(**changes)), do, says)


def told(name: str, says: str, content: bytes | Callable[[bytes], bytes], do: tuple[str, ...] = RUN) -> Case:
    """A model.json of other bytes."""

    def make(here: Path) -> None:
        path = run(here) / "model.json"
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)

    return Case("model.json", name, make, do, says)


HUGE = {"levels": [2**14] * 10, "blocks": 32, "attention": [True] * 10}


def backbone(**changes: object) -> dict[str, object]:
    return {f"backbone__{key}": value for key, value in changes.items()}


MODELS = [
    model("an unknown key", "unknown key of model.json 'colour'", colour=1),
    model("a key with an escape sequence", r"unknown key .*x1b\[2J", **{"\x1b[2J\n": 1}),
    model("an import string as system", "unknown system 'os.system'", system="os.system"),
    model("a path as system", "unknown system", system="../../../etc/passwd"),
    model("a number as system", "unknown system '7'", system=7),
    *(
        model(f"{bad!r} as {part}", "unknown|must be an object|cannot be", **{f"{part}__name": bad})
        for part in ("backbone", "schedule", "parameterization", "noise_input", "codec", "conditioner", "modality")
        for bad in ("os.system", "../evil", "/etc/passwd", "__import__('os')")
    ),
    model("code as sampler", "unknown sampler", defaults__sampler={"name": "eval", "code": "1"}),
    model("a name in place of an object", "must be an object", schedule="Cosine"),
    model("an unknown option", "unknown option of schedule", schedule={"name": "Cosine", "hook": "os.system"}),
    model("a list in place of a part", "must be an object", codec=[]),
    model("null in place of a part", "must be an object", conditioner=None),
    model("a schedule that is a sampler", "unknown schedule", schedule={"name": "Heun"}),
    model(
        "a part of the wrong base",
        "not of the kind",
        schedule={"name": "ZeroTerminalSNR", "schedule": {"name": "Cosine"}},
    ),
    told(
        "a key that is lacking",
        "lacks 'codec'",
        lambda b: json.dumps({k: v for k, v in json.loads(b).items() if k != "codec"}).encode(),
    ),
    told("a key twice", "stands twice", lambda b: b.replace(b'"format"', b'"format": 1, "format"', 1)),
    told("nested a hundred thousand deep", "nested too deep", b"[" * 10**5 + b"]" * 10**5),
    told(
        "nested forty deep",
        "nested too deep",
        lambda b: b.replace(b'"about": {', b'"about": {"x": ' + b"[" * 40 + b"]" * 40 + b",", 1),
    ),
    told("a number of forty digits", "out of range", lambda b: b.replace(b'"count": ', b'"count": ' + b"9" * 40, 1)),
    told(
        "a number of a million digits",
        "out of range",
        lambda b: b.replace(b'"count": ', b'"count": ' + b"9" * 10**6, 1),
    ),
    told("a number that overflows", "out of range", lambda b: b.replace(b'"count": ', b'"count": 1e999, "x": ', 1)),
    told("not a number", "NaN is not a number", lambda b: b.replace(b'"count": ', b'"count": NaN, "x": ', 1)),
    told("infinity", "Infinity is not a number", lambda b: b.replace(b'"count": ', b'"count": -Infinity, "x": ', 1)),
    told("half a character", "surrogates", lambda b: b.replace(b'"count": ', b'"x": "\\ud83d", "count": ', 1)),
    told("bytes that are no text", "cannot be read", b'{"format": "\xff\xfe"}'),
    told("no object", "not an object", b"[1, 2]"),
    told("nothing", "not valid JSON", b""),
    told("two million empty lists", "lists more than", b"[" + b"[]," * (MIB * 4 // 3 - 10) + b"[]]"),
    told(
        "a million classes",
        "lists more than|larger than",
        lambda b: b.replace(b'"classes": [', b'"classes": [' + b'"a",' * 10**6, 1),
    ),
    Case("model.json", "a gigabyte", lambda here: sparse(run(here) / "model.json", 2**30, b"{"), RUN, "larger than"),
    model("another format", "not of format 1", format=99),
    model("a million million million parameters", "more blocks than any", **backbone(**HUGE)),
    model("fifteen thousand million parameters", "does not fit the network", **backbone(levels=[4096] * 6, blocks=3)),
    model(
        "a width that overflows",
        "cannot be made|more than any",
        **backbone(patch=[256], channels=2**16, levels=[2**14, 2**14]),
    ),
    model(
        "thirty-two blocks at ten levels",
        "more blocks than any",
        **backbone(levels=[2] * 10, blocks=32, attention=[True] * 10, head_size=1),
    ),
    model("levels that are text", "list of 1 to 10", **backbone(levels="64")),
    model("levels that are fractions", "whole number", **backbone(levels=[8.5, 8])),
    model("levels without end", "list of 1 to 10", **backbone(levels=[8] * 1000)),
    model("a number of the wrong sign", "whole number", **backbone(blocks=-1)),
    model("truth as a number", "whole number", **backbone(blocks=True)),
    model("a head of a million million", "whole number", **backbone(head_size=10**12)),
    model("text as a noise scale", "should be a number", **backbone(noise_scale="1")),
    model("text as dropout", "should be a number", **backbone(dropout="0.5")),
    model("text as truth", "true or false", **backbone(adaptive="no")),
    model(
        "hundreds of thousand million parameters", "more than any of ours", **backbone(levels=[2**14] * 10, blocks=6)
    ),
    model("a network of other classes", "does not fit", **backbone(classes=3)),
    model("a network of other channels", "does not fit", **backbone(channels=2)),
    model("a network of other axes", "does not fit", **backbone(spatial=2)),
    model("no condition for a network with classes", "contradicts itself", conditioner={"name": "Unconditional"}),
    model("more classes than the network's", "contradicts itself", conditioner__classes=["a", "b", "c"]),
    model("samples of other channels than the network's", "contradicts itself", shape=[2, 8]),
    model("samples of other axes than the network's", "contradicts itself", shape=[1, 8, 8]),
    model("a shape beyond memory", "larger than any", shape=[1, 65535, 65535, 65535]),
    model("a shape that is text", "shape must be", shape="1x8"),
    model("a shape of negative sizes", "shape must be", shape=[1, -8]),
    model("a million million steps", "more steps than any", defaults__grid__steps=10**12),
    model("steps that are text", "not of the kind", defaults__grid__steps="20"),
    model("steps that are truth", "not of the kind", defaults__grid__steps=True),
    model("no steps", "no times", defaults__grid__steps=0),
    model("a grid that divides by zero", "no times", defaults__grid__rho=0.0),
    model("a grid of complex numbers", "no times|not from 0", defaults__grid__sigma_min=-1.0),
    model("a grid beyond the ends", "not from 0 to 1|no times", defaults__grid={"name": "Uniform", "first": 9.0}),
    model(
        "grids within grids, by defaults alone", "more steps than any", defaults__grid=nested("Resampled", "grid", 20)
    ),
    model("a walk of no length", "no times", defaults__grid={"name": "Resampled", "jump": 0}),
    model(
        "a table of a million million levels", "more steps than any", schedule={"name": "LinearBetas", "count": 10**12}
    ),
    model("a table of no levels", "no times|describes no model", schedule={"name": "LinearBetas", "count": 1}),
    model("betas that are text", "not of the kind", schedule={"name": "Tabulated", "betas": ["a", "b", "c"]}),
    model("a sampler of text", "not of the kind", defaults__sampler={"name": "DDIM", "eta": "high"}),
    model("an interval of three", "not of the kind", defaults__sampler={"name": "Euler", "interval": [0, 1, 2]}),
    model("a scale that is text", "scale that is no number", defaults__scale="2"),
    model("an unknown dtype", "unknown dtype", defaults__dtype="float8"),
    model("classes that are numbers", "not of the kind", conditioner__classes=[1, 2]),
    model("a codec of text", "not of the kind", codec__mean=["0"]),
    model("a codec of other channels", "contradicts itself", codec__mean=[0.0, 0.0], codec__std_raw=[1.0, 1.0]),
    model("a modality that writes elsewhere", "written as", modality__ending="/../../evil.npy"),
    model("a count that is text", "about says count", about__count="many"),
    model("a name that is an object", "about says name", about__name={"x": 1}),
]
