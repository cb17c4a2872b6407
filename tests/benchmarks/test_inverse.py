"""The benchmark of inverse problems: what it measures, chooses and goes on from."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import inverse, inverse_page


@pytest.fixture
def small(monkeypatch, tmp_path):
    """One problem, three methods, four pictures, one draw, three steps; SSIM, which scikit-image computes, left out."""
    for name, value in dict(PICTURES=2, MORE=4, DRAWS=1, EVALUATIONS=3).items():
        monkeypatch.setattr(inverse, name, value)
    monkeypatch.setattr(inverse, "PROBLEMS", {"4 times smaller": inverse.PROBLEMS["4 times smaller"]})
    monkeypatch.setattr(inverse, "ssim", lambda made, true: torch.zeros(len(made)))
    monkeypatch.setattr(inverse, "METHODS", {name: inverse.METHODS[name] for name in ("DDRM", "DDNM", "DPS")})
    return tmp_path / "inverse.json"


def test_rows_are_measured_once_and_the_best_on_more_pictures(small, monkeypatch):
    inverse.measure(small, "float32")
    found = json.loads(small.read_text())
    few, more = found["few"]["4 times smaller"], found["more"]["4 times smaller"]
    assert set(few) == set(more) == {"bicubic", "lanczos", "DDRM", "DDNM", "DPS"}
    assert all(few[name]["dtype"] == "float32" and few[name]["distance"] > 0 for name in inverse.METHODS)
    assert few["DPS"]["psnr"] == few["DPS"]["psnr_mean"], "of one draw the mean is that draw"
    assert few["DPS"]["psnr"] != more["DPS"]["psnr"]

    def never(*args):
        raise AssertionError("measured again")

    monkeypatch.setattr(inverse, "drawn", never)
    inverse.measure(small, "bfloat16")
    assert json.loads(small.read_text()) == found


def test_rows_are_of_the_type_that_is_asked_for(small, monkeypatch):
    monkeypatch.setattr(inverse, "METHODS", {"DDRM": inverse.METHODS["DDRM"]})
    found = []
    for dtype in ("float32", "bfloat16"):
        out = small.with_name(f"{dtype}.json")
        inverse.measure(out, dtype)
        found.append(json.loads(out.read_text())["few"]["4 times smaller"]["DDRM"])
    assert [one["dtype"] for one in found] == ["float32", "bfloat16"]
    assert 0 < abs(found[0]["psnr"] - found[1]["psnr"]) < 0.5, "rounding moves three steps by less than half a decibel"


def test_the_best_are_those_of_the_least_distance():
    figures = {"biharmonic": {"distance": 0.0}, "DDRM": {"distance": 0.3}, "DPS": {"distance": 0.1}, "MMPS": {"refused": "no"},
               "DDNM": {"distance": float("inf")}, "TMPD": {"distance": 0.2}}  # fmt: skip
    assert inverse.best(figures) == ["DPS", "TMPD", "DDRM"]
    assert inverse.best(figures, 1) == ["DPS"]


def test_the_page_says_what_was_computed_in_float32():
    one = {"psnr": 20.0, "psnr_mean": 21.0, "ssim": 0.5, "distance": 0.25}
    rows = inverse_page.table({"bicubic": one, "DPS": one | {"dtype": "float32"}, "DDRM": one | {"dtype": "bfloat16"}})
    assert rows.splitlines()[2:] == [
        "| `DPS`, float32 | 20.00 | 21.00 | 0.500 | 0.250 |",
        "| `DDRM` | 20.00 | 21.00 | 0.500 | 0.250 |",
        "| bicubic | 20.00 |  | 0.500 | 0.250 |",
    ]
