"""New files are found; what is named is a value; hostile descriptions are refused."""

import pytest

from reverie import guidance, samplers
from reverie.core import grids, parameterizations, schedules
from reverie.core.denoisers import Denoiser
from reverie.discover import construct, describe, discover, install_command, lookup, parse, variants
from reverie.errors import ReverieError
from reverie.samplers.base import Sampler
from reverie.samplers.ddim import DDIM

VALUES = [
    ("sampler", samplers, Sampler),
    ("schedule", schedules, schedules.Schedule),
    ("grid", grids, grids.Grid),
    ("parameterization", parameterizations, parameterizations.Parameterization),
]


def test_every_concrete_class_of_a_package_is_found():
    assert set(discover(samplers, Sampler)) >= {"DDIM", "DDPM", "DPMpp2M", "Euler", "Heun"}
    assert set(discover(guidance, Denoiser)) >= {"Extrapolated"}
    assert "Discrete" not in discover(schedules, schedules.Schedule)  # abstract


def test_variants_are_a_class_s_own_or_its_default():
    assert {DDIM(), DDIM(0.5), DDIM(1.0)} < set(variants(samplers, Sampler))
    assert grids.Uniform() in variants(grids, grids.Grid)


@pytest.mark.parametrize(("kind", "package", "base"), VALUES)
def test_what_is_named_is_a_value_that_comes_back_from_plain_data(kind, package, base):
    for one, other in zip(variants(package, base), variants(package, base), strict=True):
        assert one == other and hash(one) == hash(other)
        assert construct(kind, package, base, describe(one)) == one


def test_short_names_take_options_and_any_case():
    assert parse("sampler", samplers, Sampler, "ddim(eta=0.5)") == DDIM(0.5)
    assert parse("sampler", samplers, Sampler, "dpmpp-2m") == lookup("sampler", samplers, Sampler, "DPMpp2M")()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hein", "Did you mean 'Heun'"),
        ("ddim(et=0.5)", "Did you mean 'eta'"),
        ("ddim(eta='high')", "not of the kind"),
        ("ddim(__import__('os'))", "option=value"),
        ("ddim(eta=__import__('os').getpid())", "option=value"),
        ("os.system", "name\\("),
        ("", "name\\("),
    ],
)
def test_a_wrong_name_or_option_says_what_would_be_right(text, says):
    with pytest.raises(ReverieError, match=says):
        parse("sampler", samplers, Sampler, text)


@pytest.mark.parametrize(
    "data",
    [None, [], {"name": 3}, {"name": "os.system"}, {"name": "Karras", "std": 1}, {"name": "Cosine", "../x": 1}],
)
def test_data_that_name_nothing_of_ours_are_refused(data):
    with pytest.raises(ReverieError):
        construct("schedule", schedules, schedules.Schedule, data)


def test_an_optional_dependency_is_named_with_the_extra_that_brings_it():
    assert install_command("sklearn") == "pip install 'reverie[images]'"
    assert install_command("nothing_of_ours") == "pip install nothing_of_ours"
