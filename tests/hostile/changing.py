"""Changes to bytes and to plain data, each a function of a random source."""

import json
import struct
from random import Random
from typing import Any

EDGES = (
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**63 - 1,
    2**64 - 1,
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 0.5, -0.0, 1e-300, 1e300, 2**31, 2**53, 10**12, 10**18, -(10**12), "", "0", "inf",
    "-inf", "nan", "../x", "/etc/passwd", "os.system", "\0", "\x1b[2J\n", "é" * 100, "a" * 5000, [], {}, [[]], [0], [1, 2, 3],
    ["a"], {"name": "x"}, {"name": "Cosine"}, {"name": "Uniform"}, {"name": "Resampled"}, {"name": 1}, [None], [1e300, 0],
    [0.0] * 50,
)  # fmt: skip


def bytes_changed(data: bytes, rng: Random) -> bytes:
    """One to four of: a bit flipped, a byte set, some cut, put in, doubled, moved, or an integer made extreme."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        n = len(found)
        at, length = rng.randrange(n + 1), min(int(rng.expovariate(1 / 8)) + 1, n)
        kind = rng.randrange(8)
        if kind == 0 and n:
            found[rng.randrange(n)] ^= 1 << rng.randrange(8)
        elif kind == 1 and n:
            found[rng.randrange(n)] = rng.choice((0, 1, 127, 128, 254, 255, rng.randrange(256)))
        elif kind == 2:
            del found[at:]
        elif kind == 3:
            del found[at : at + length]
        elif kind == 4:
            found[at:at] = rng.randbytes(length)
        elif kind == 5:
            found[at:at] = found[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 6:
            found[at : at + length] = bytes(length)
        else:
            size, order = rng.choice((1, 2, 4, 8)), rng.choice("<>")
            value = rng.choice(EDGES) & (2 ** (8 * size) - 1)
            found[at : at + size] = struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], value)
    return bytes(found)


def value_changed(value: Any, rng: Random) -> Any:
    """Plain data with one place changed: another value there, a key more, less or doubled, a number nearby, a list longer."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        if (kind := rng.random()) < 0.08:
            return {k: v for k, v in value.items() if k != key}
        if kind < 0.14:
            return {**value, rng.choice(("name", "steps", "x", "../x", "", "\x1b")): rng.choice(ODD)}
        return {**value, key: value_changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        if (kind := rng.random()) < 0.1:
            return value[:at]
        if kind < 0.2:
            return value + value[at:] * rng.choice((1, 3))
        return [*value[:at], value_changed(value[at], rng), *value[at + 1 :]]
    if type(value) in (int, float) and rng.random() < 0.5:
        return rng.choice((value + 1, value - 1, -value, value * 2, value * 1000, float(value), 0))
    if isinstance(value, str) and value and rng.random() < 0.4:
        at = rng.randrange(len(value))
        return rng.choice(
            (value[:at], value[:at] + chr(rng.randrange(0xD7FF)) + value[at:], value * 2, value.swapcase())
        )
    return rng.choice(ODD)


def json_changed(data: bytes, rng: Random) -> bytes:
    """A JSON file with its values changed, or its bytes."""
    if rng.random() < 0.15:
        return bytes_changed(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = value_changed(value, rng)
    return json.dumps(value).encode()
