"""Features kept between evaluations, on the command line: said by a sample, replayed, refused in a line."""

import json

import pytest

from reverie.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return end.value.code


def test_a_sample_says_that_features_were_kept_and_is_made_again(here, capsys):
    assert call("sample", "digits", "-n", 2, "--sample-steps", 6, "--reuse", 3, "--out", "kept") == 0
    assert call("sample", "digits", "-n", 2, "--sample-steps", 6, "--out", "plain") == 0
    kept, plain = (json.loads((here / name / "samples.json").read_text()) for name in ("kept", "plain"))
    assert kept[0]["reuse"] == 3 and "reuse" not in plain[0] and kept[0]["pixels"] != plain[0]["pixels"]
    assert call("replay", "kept/00001.png") == 0
    assert call("replay", "kept/samples.json") == 0
    assert "2 of 2 match" in capsys.readouterr().out


@pytest.mark.parametrize("reuse", [0, -1])
def test_what_cannot_be_is_one_line_and_nothing_is_written(here, capsys, reuse):
    assert call("sample", "digits", "-n", 1, "--reuse", reuse, "--out", "made") != 0
    error = capsys.readouterr().err
    assert f"not every {reuse}th" in error and error.count("\n") == 1 and not list(here.iterdir())
