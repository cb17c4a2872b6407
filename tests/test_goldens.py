"""Numbers that move unnoticed are noticed: samples of the shipped models, losses of a short run, tables."""

from dataclasses import replace

import goldens
import pytest
import torch
from goldens import GROUPS, LEVEL, STORED, TOLERANCES, distance, moved, stored

from reverie.core.schedules import Cosine
from reverie.samplers.heun import Heun

RENEW = "if that is meant, say why in CHANGELOG and renew them: python tests/goldens.py --write"


@pytest.fixture(scope="module")
def now():
    made = {}

    def of(group):
        if group not in made:
            made[group] = GROUPS[group]()
        return made[group]

    return of


@pytest.mark.parametrize("group", GROUPS)
def test_numbers_are_what_they_were(group, now):
    faults = moved(group, now(group))
    assert not faults, "\n".join([*faults, RENEW])


def test_what_is_stored_is_small_and_is_something():
    assert STORED.stat().st_size < 60_000
    for name, x in stored("samples").items():
        assert x.isfinite().all() and 0.3 < x.std() < 1.2, name
        spread = (x[0] - x[1]).abs().mean()
        assert spread > 1000 * TOLERANCES["samples"], name
    assert {name.split()[0] for name in stored("samples")} == {"digits", "fashion_mnist"}
    (losses,) = stored("losses").values()
    assert losses.shape == (20,) and losses[-5:].mean() < 0.9 * losses[:5].mean()


OFF = [("ddim", 0), ("ddim", 1), ("dpmpp_2m", 0), ("dpmpp_2m", 2), ("heun", 0)]


@pytest.mark.parametrize(("name", "which"), OFF)
def test_a_coefficient_of_a_sampler_that_is_off_by_a_percent_is_noticed(name, which, monkeypatch):
    module = f"reverie.samplers.{name}"
    import importlib

    onto = importlib.import_module(module).onto

    def off(x, *coefficients):
        return tuple(c * 1.01 if i == which else c for i, c in enumerate(onto(x, *coefficients)))

    monkeypatch.setattr(f"{module}.onto", off)
    gap = distance("samples", goldens.sample("digits", goldens.SAMPLERS[name], 8), stored("samples")[f"digits {name}"])
    print(f"coefficient {which} of {name}: {gap / LEVEL:.3f} levels")
    assert gap > 5 * TOLERANCES["samples"]


def test_so_are_a_learning_rate_a_schedule_a_grid_and_a_lost_tensor(now):
    assert moved("losses", goldens.losses(learning_rate=2e-3 * 1.01))
    tables = now("tables")
    for name in tables:
        planted = dict(tables) | {name: tables[name] * (1 + 1e-8)}
        assert len(moved("tables", planted)) == 1, name
    assert moved("samples", {}) == [f"samples: {name}: gone" for name in stored("samples")]
    nothing = {name: x * torch.nan for name, x in stored("samples").items()}
    assert len(moved("samples", nothing)) == len(nothing)


def test_what_is_new_is_not_missed():
    added = stored("samples") | {"digits mine": torch.zeros(8)}
    assert moved("samples", added) == []
    assert replace(Heun(), churn=0.1) != Heun() and str(Cosine()) == "Cosine()"  # names are those of values
