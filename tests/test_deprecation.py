"""What is on its way out works for one minor version, says what to write instead, and then goes."""

import ast
import sys
import types
import warnings
from pathlib import Path

import click
import pytest

import reverie
from reverie import cli
from reverie.deprecation import Deprecated, deprecated, former_names, former_option, minor, outlived
from reverie.errors import ReverieError, ReverieWarning

ROOT = Path(reverie.__file__).parent
WAYS = ("deprecated", "former_names", "former_option")


def ends(source):
    """(line, `until`) of every deprecation in a module; None where it is not a plain version."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in WAYS:
            until = next((word.value for word in node.keywords if word.arg == "until"), None)
            yield node.lineno, until.value if isinstance(until, ast.Constant) else None


def test_no_deprecation_has_outlived_its_version_or_lasts_longer_than_the_next():
    """Deprecated in 0.2, it works in all of 0.2 and ends with 0.3: one version of warning, and not two."""
    now = minor(reverie.__version__)
    for path in sorted(ROOT.rglob("*.py")):
        if path.name == "deprecation.py":
            continue
        for line, until in ends(path.read_text()):
            place = f"{path.relative_to(ROOT)}:{line}"
            assert until is not None, f"{place}: write the version out, until='0.3'"
            assert not outlived(until, reverie.__version__), f"{place}: this ended with {until}: take it out"
            assert minor(until) in ((now[0], now[1] + 1), (now[0] + 1, 0)), f"{place}: {until} is not the next version"


def test_the_search_sees_every_way_to_deprecate():
    source = """
from reverie import deprecation
__getattr__ = former_names(__name__, {"A": "B"}, until="0.1")
@former_option("a", "b", until="0.2")
def f(b): deprecation.deprecated("x", "y", until=VERSION)
"""
    assert sorted(ends(source)) == [(3, "0.1"), (4, "0.2"), (5, None)]


@pytest.mark.parametrize(
    ("until", "version", "expected"),
    [("0.2", "0.1.0", False), ("0.2", "0.1.9", False), ("0.2", "0.2.0.dev0", True), ("0.2", "0.10.1", True),
     ("1.0", "0.99.0", False), ("0.10", "0.9.0", False)],
)  # fmt: skip
def test_versions_are_compared_as_numbers(until, version, expected):
    assert outlived(until, version) is expected


def test_a_name_that_moved_is_found_with_a_warning_at_the_line_that_used_it():
    fake = types.ModuleType("reverie_fake")
    fake.New, fake.__getattr__ = object(), former_names("reverie_fake", {"Old": "New"}, until="9.0")
    sys.modules["reverie_fake"] = fake
    try:
        with pytest.warns(
            Deprecated, match=r"reverie_fake.Old is deprecated.*reverie 9.0: use reverie_fake.New"
        ) as told:
            assert fake.Old is fake.New
        assert told[0].filename == __file__
        with pytest.raises(AttributeError, match="no attribute 'Older'"):
            _ = fake.Older
    finally:
        del sys.modules["reverie_fake"]


def test_an_option_that_was_renamed_is_taken_by_both_names_but_not_at_once():
    @former_option("steps", "sample_steps", until="9.0")
    def generate(n, *, sample_steps=3):
        """Makes some."""
        return n, sample_steps

    assert generate.__name__ == "generate" and generate(1, sample_steps=4) == (1, 4)
    with pytest.warns(Deprecated, match="the option steps is deprecated") as told:
        assert generate(1, steps=5) == (1, 5)
    assert told[0].filename == __file__
    with pytest.raises(ReverieError, match="give one of them"):
        generate(1, steps=5, sample_steps=5)


def test_the_command_line_says_it_in_one_line_and_goes_on(monkeypatch, capsys):
    @click.command()
    @click.option("--sample-steps", type=int)
    @click.option("--steps", type=int, hidden=True)
    def command(sample_steps, steps):
        if steps is not None:
            deprecated("--steps", "--sample-steps", until="9.0")
        click.echo(sample_steps or steps)

    monkeypatch.setattr("reverie.cli.app.app", command)
    for arguments, said in ((["--steps", "3"], "note: --steps is deprecated and ends with reverie 9.0: use --sample-steps\n"),
                            (["--sample-steps", "3"], "")):  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("default", ReverieWarning)
            with pytest.raises(SystemExit) as stop:
                cli.main(arguments)
        told = capsys.readouterr()
        assert stop.value.code == 0 and told.out == "3\n" and told.err == said
