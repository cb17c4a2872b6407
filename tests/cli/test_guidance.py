"""Guidance on the command line: chosen, listed, said by a sample, refused in a line."""

import json

import pytest
from click.testing import CliRunner

from reverie import guidance
from reverie.cli import guidance as listing
from reverie.cli import main
from reverie.discover import discover
from reverie.guidance.base import Guidance


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return end.value.code


def test_a_sample_says_how_it_was_guided_and_is_made_again(here, capsys):
    methods = ("--guidance", "apg(limit=0.5)", "--guidance", "limited(low=-5)", "--scale", 3)
    assert call("sample", "digits", "-n", 2, "--sample-steps", 3, *methods, "--out", "made") == 0
    (first, second) = json.loads((here / "made" / "samples.json").read_text())
    assert [one["name"] for one in first["guidance"]] == ["APG", "Limited"]
    assert first["guidance"][0]["scale"] == first["scale"] == 3 and second["guidance"] == first["guidance"]
    assert call("info", "made/00001.png") == 0
    assert "apg(scale=3.0, eta=0.0, momentum=-0.5, limit=0.5), around it limited(low=-5" in capsys.readouterr().out
    for file in ("made/00001.png", "made/samples.json"):
        assert call("replay", file) == 0
    assert "2 of 2 match" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--guidance", "apk"), "Did you mean 'APG'"),
        (("--guidance", "apg(scale=2)", "--scale", 3), "said twice"),
        (("--guidance", "apg(eta=__import__('os'))"), "option=value"),
        (("--guidance", "rescaled", "--guidance", "apg"), "only the first"),
        (("--guidance", "extrapolated(weak='cat')"), "unknown class"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(here, capsys, options, says):
    assert call("sample", "digits", "-n", 1, *options, "--out", "made") != 0
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not list(here.iterdir())


def test_the_command_lists_every_method_with_its_space_and_its_neutral_value():
    printed = CliRunner().invoke(listing.command).output
    for name, cls in discover(guidance, Guidance).items():
        entry = printed[printed.index(f"\n{name.lower()} ") if name != min(discover(guidance, Guidance)) else 0 :]
        facts = entry.strip().splitlines()[1]
        assert f"of {cls.space}; changes nothing at: " in facts and "around: " in facts
        assert "https://" in entry.split("\n\n")[0]
        assert entry.strip().splitlines()[0].rstrip().endswith("."), "the first line of a method is a sentence"
