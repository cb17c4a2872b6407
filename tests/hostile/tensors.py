"""Safetensors that are none, or none of ours."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

from hostile.making import MIB, RUN, Case, run, sparse


def packed(header: object, data: bytes = b"", pad: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + pad + data


def one(shape: object = (2,), place: object = (0, 8), dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


def weights(name: str, says: str, content: bytes | Callable[[Path], object]) -> Case:
    def make(here: Path) -> None:
        path = run(here) / "weights" / "ema.safetensors"
        path.unlink()
        content(path) if callable(content) else path.write_bytes(content)

    return Case("safetensors", name, make, RUN, says)


def rewritten(change: Callable[[dict], object]) -> Callable[[Path], object]:
    """The healthy weights with other tensors."""

    def make(path: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(Path(os.environ["HEALTHY"]) / "weights" / "ema.safetensors")
        change(tensors)
        save_file(tensors, path)

    return make


def double(tensors: dict) -> None:
    for key in tensors:
        tensors[key] = tensors[key].to(__import__("torch").int64)


WEIGHTS = [
    weights("an empty file", "credible size", b""),
    weights("seven bytes", "credible size", b"\0" * 7),
    weights("a header longer than the file", "credible size", struct.pack("<Q", 10**6) + b"{}"),
    weights("a header of 2^63 bytes", "credible size", struct.pack("<Q", 2**63) + b"{}" * 50),
    weights("a header of no bytes", "credible size", struct.pack("<Q", 0) + b"{}"),
    weights(
        "a header of a hundred megabytes", "credible size", lambda path: sparse(path, 10**9, struct.pack("<Q", 10**8))
    ),
    weights("a terabyte of nothing", "credible size", lambda path: sparse(path, 2**40, packed({}))),
    weights("a header that is no JSON", "not valid JSON", packed(b"{" * 3 + b"x" * 20)),
    weights("a header that is no text", "not text", packed(b'{"\xff": 1}')),
    weights("a header that is a list", "no object", packed(b"[1]")),
    weights("a header after blanks", "no object", packed(b"  {}")),
    weights("a header nested deep", "nested too deep", packed(b'{"a":' * 5000 + b"1" + b"}" * 5000)),
    weights(
        "a million tensors of nothing",
        "lists more than",
        packed(
            b"{"
            + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(2 * 10**5))
            + b"}"
        ),
    ),
    weights(
        "a name twice", "stands twice", packed(b'{"a":%s,"a":%s}' % ((json.dumps(one()).encode(),) * 2), b"\0" * 8)
    ),
    weights("tensors that overlap", "overlap", packed({"a": one(), "b": one(place=(4, 12))}, b"\0" * 12)),
    weights("tensors in one place", "overlap", packed({"a": one(), "b": one()}, b"\0" * 8)),
    weights("a gap between tensors", "leave a gap", packed({"a": one(), "b": one(place=(12, 20))}, b"\0" * 20)),
    weights("a gap before tensors", "leave a gap", packed({"a": one(place=(4, 12))}, b"\0" * 12)),
    weights("bytes after the last", "end at byte", packed({"a": one()}, b"\0" * 8, b"") + b"more"),
    weights("tensors beyond the end", "end at byte", packed({"a": one((2**20,), (0, 2**22))}, b"\0" * 8)),
    weights("a shape that lies", "does not fill its place", packed({"a": one((3,))}, b"\0" * 8)),
    weights("a shape that overflows", "does not fill its place", packed({"a": one((2**40, 2**40))}, b"\0" * 8)),
    weights("a shape of negative sizes", "shape that is none", packed({"a": one((-1, -2))}, b"\0" * 8)),
    weights("a shape of fractions", "shape that is none", packed({"a": one((2.0,))}, b"\0" * 8)),
    weights("a shape of truths", "shape that is none", packed({"a": one((True, 2))}, b"\0" * 8)),
    weights("a shape of a thousand axes", "shape that is none", packed({"a": one((1,) * 1000)}, b"\0" * 4)),
    weights("a shape that is text", "shape that is none", packed({"a": one("22")}, b"\0" * 8)),
    weights(
        "a number of sixty digits",
        "out of range",
        packed(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,8]}}' % (b"9" * 60), b"\0" * 8),
    ),
    weights("offsets that go back", "does not fill its place", packed({"a": one(place=(8, 0))}, b"\0" * 8)),
    weights("three offsets", "does not fill its place", packed({"a": one(place=(0, 4, 8))}, b"\0" * 8)),
    weights("offsets that are negative", "place that is none", packed({"a": one(place=(-8, 0))}, b"\0" * 8)),
    weights("an unknown type", "of type 'F33'", packed({"a": one(dtype="F33")}, b"\0" * 8)),
    weights("a type of complex numbers", "of type 'C64'", packed({"a": one((1,), dtype="C64")}, b"\0" * 8)),
    weights("a type that is a list", "of type", packed({"a": one(dtype=["F32"])}, b"\0" * 8)),
    weights("a tensor stated twice over", "is not stated by", packed({"a": {**one(), "hook": "os.system"}}, b"\0" * 8)),
    weights("a tensor that is a number", "is not stated by", packed({"a": 1}, b"\0" * 8)),
    weights(
        "a note of three megabytes",
        "notes more than",
        packed({"__metadata__": {"x": "y" * (3 * MIB)}, "a": one()}, b"\0" * 8),
    ),
    weights("a note that is no text", "not text by name", packed({"__metadata__": {"x": 1}, "a": one()}, b"\0" * 8)),
    weights("a note that is a list", "not text by name", packed({"__metadata__": [1], "a": one()}, b"\0" * 8)),
    weights("other tensors than the network's", "does not fit", packed({"a\x1b[2J\n": one()}, b"\0" * 8)),
    weights(
        "sixteen gigabytes of one tensor",
        "does not fit",
        lambda path: sparse(
            path, len(packed({"a": one((2**32,), (0, 2**34))})) + 2**34, packed({"a": one((2**32,), (0, 2**34))})
        ),
    ),
    weights("a tensor that is lacking", "1 missing", rewritten(lambda t: t.popitem())),
    weights("a tensor too many", "1 unexpected", rewritten(lambda t: t.update(evil=next(iter(t.values())).clone()))),
    weights(
        "a tensor of another shape",
        "1 misshapen",
        rewritten(lambda t: t.update({"stem.bias": t["stem.bias"][:2].clone()})),
    ),
    weights("whole numbers for weights", "where torch.float32 is needed", rewritten(double)),
    weights("weights that are no numbers", "not finite", rewritten(lambda t: t["stem.bias"].fill_(float("nan")))),
]
