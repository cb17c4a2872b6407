"""What is promised by name is there and takes what it took, and the list is renewed at every version."""

import ast
import inspect

import public_api
import pytest
from public_api import STORED, breaks, broken, listed, parameters, promised

import reverie

RENEW = "if that is meant, deprecate what can be (CONTRIBUTING), then: python tests/public_api.py --write"


@pytest.fixture(scope="module")
def now():
    return listed()


def test_no_public_name_has_vanished_and_no_call_is_broken(now):
    faults = broken(promised()[1], now)
    assert not faults, "\n".join([*faults, RENEW])


def test_the_list_is_that_of_this_version():
    """A name that is new since is promised from the next version on: so additions fail here alone, at a release."""
    assert promised()[0] == reverie.__version__, f"a new version promises what it has: {RENEW}"


def test_the_list_can_be_read_back_and_holds_what_users_hold(now):
    assert STORED.stat().st_size < 60_000
    _, then = promised()
    for call in then.values():
        assert "\n" not in call
        ast.parse(f"def _{call or '()'}: ...")
    for name in ("reverie.load", "reverie.core.schedules.Cosine", "reverie.samplers.heun.Heun", "reverie sample --seed",
                 "reverie train digits --learning-rate", "reverie.systems.diffusion.Diffusion.generate",
                 "reverie.metrics.frechet.Frechet", "reverie data check --strict"):  # fmt: skip
        assert name in then and name in now, name
    names = {name for name in then if " " not in name} - {"reverie.__version__"}
    assert not any(part.startswith("_") for name in names for part in name.split("."))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("(a)", "(a)", None),
        ("(a, b=1)", "(a, b=1, c=2)", None),
        ("(a)", "(a=1)", None),
        ("(a, *, b=1)", "(a, b=1)", None),
        ("(a)", "(a, *, b=1)", None),
        ("(a, b=1)", "(a)", "b is gone"),
        ("(a)", "(a, b)", "b is new and must be given"),
        ("(a, b=1)", "(a, b=2)", "b=1 is now 2"),
        ("(a, b=1)", "(a, b)", "b=1 is now without a default"),
        ("(a, b)", "(b, a)", "the order a, b is now b, a"),
        ("(a, b=1)", "(a, c=3, b=1)", "the order"),
        ("(a, b=1)", "(a, *, b=1)", "the order a, b is now a"),
        ("(a)", "(*, a)", "by name alone"),
        ("(a, **more)", "(a)", "more is gone"),
        ("(*all)", "()", "all is gone"),
        ("(a=Uniform(steps=5))", "(a=Uniform(steps=6))", "is now"),
    ],
)
def test_a_change_breaks_a_call_or_it_does_not(old, new, says):
    found = breaks(old, new)
    assert found == [] if says is None else any(says in one for one in found)


def test_planted_changes_are_seen(now, monkeypatch):
    from reverie.samplers.heun import Heun
    from reverie.systems.diffusion import Diffusion

    assert broken(now, {k: v for k, v in now.items() if k != "reverie.samplers.heun.Heun"}) == [
        "reverie.samplers.heun.Heun is gone"
    ]
    monkeypatch.setattr(Diffusion, "generate", lambda self, count=16: None)
    monkeypatch.setattr(Heun, "__module__", "elsewhere")  # moved, and no longer found by its name
    faults = broken(now, public_api.listed())
    assert "reverie.systems.diffusion.Diffusion.generate: seed is gone" in faults
    assert "reverie.samplers.heun.Heun is gone" in faults


def test_parameters_show_no_place_in_memory():
    def function(a, b=object(), c=lambda x: x, *, d=None, e=...):
        return a

    assert parameters(function) == "(a, b=..., c=..., *, d=None, e=Ellipsis)"
    assert list(inspect.signature(function).parameters) == ["a", "b", "c", "d", "e"]
