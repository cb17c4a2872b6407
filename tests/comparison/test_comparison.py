"""Runs side by side: what differs, what cannot be compared, and a page that nothing in a file can take over."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from reverie.cli import main
from reverie.comparison.page import chart, page
from reverie.comparison.runs import clean, opened, text
from reverie.comparison.tables import curves, figures, options, sparkline, tables
from reverie.errors import ReverieError
from reverie.systems.base import shipped

EVIL = "</title></table><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31mred"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A run with this log, options, figures and a grid of one colour; what is None is lacking."""
    monkeypatch.chdir(tmp_path)

    def made(name, scale=1.0, log=True, told=(), result=None, colour=(200, 40, 40)):
        folder = tmp_path / name
        shutil.copytree(shipped("digits"), folder)
        recipe = json.loads((folder / "recipe.json").read_text())
        recipe["options"] |= dict(told)
        (folder / "recipe.json").write_text(json.dumps(recipe))
        if log:
            reports = [{"seen": 100 * i, "loss": scale / i} for i in range(1, 41)]
            (folder / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in reports))
        if colour:
            (folder / "samples").mkdir()
            for seen, shade in (("00000100", (0, 0, 0)), ("00004000", colour)):
                Image.new("RGB", (32, 16), shade).save(folder / "samples" / f"{seen}-ema.png")
        for i, one in enumerate([result] if isinstance(result, dict) else result or []):
            (folder / "evaluations").mkdir(exist_ok=True)
            (folder / "evaluations" / f"{name}-{i}.json").write_text(json.dumps(one))
        return opened(name)

    return made


def measured(value, n=1000, digest="a" * 64, name="frechet"):
    return {"counts": {"samples": n, "reference": 300}, "extractor": {"name": "pixels", "hash": digest, "dim": 64},
            "classifier": None, "figures": {name: {"value": value, "error": 0.01, "better": "lower", "unit": "",
                                                   "metric": {"name": "Frechet", "groups": 10}}}}  # fmt: skip


def test_only_what_differs_is_shown_unless_all_is_asked_for(make):
    runs = [make("a"), make("b", told={"batch": 16})]
    table = options(runs, every=False)
    assert [row[:2] for row in table.rows] == [("batch", ("64", "16"))] and "the same data" in table.said
    every = options(runs, every=True)
    assert len(every.rows) > 20 and [row for row in every.rows if row[2]] == [("batch", ("64", "16"), "differs")]
    assert dict(row[:2] for row in every.rows)["parameters"] == ("1,308,865", "1,308,865")


def test_losses_stand_at_even_marks_of_the_longest_run(make):
    runs = [make("a"), make("b", scale=2.0), make("c", log=False)]
    table = curves(runs)
    assert [row[0] for row in table.rows] == [f"{400 * i:,}" for i in range(1, 11)] + ["curve"]
    first = sum(1 / i for i in range(1, 5)) / 4
    assert table.rows[0][1] == (f"{first:.4g}", f"{2 * first:.4g}", "-") and table.said == ""
    assert "different objectives" in curves([runs[0], make("d", told={"weight": "simple"})]).said


def test_a_sparkline_falls_with_its_values_and_spans_the_blocks():
    line = sparkline([10.0 ** -(i / 10) for i in range(41)], 1e-4, 1.0, width=8)
    assert line == "█▇▆▅▄▃▂▁" and sparkline([], 0, 1) == "-" and sparkline([2.0, 2.0], 2.0, 2.0) == "▅▅"


def test_figures_stand_in_one_row_only_where_they_can_be_compared(make):
    a = make("a", result=[measured(0.5), measured(0.9, n=200)])
    rows = figures([a, make("b", result=measured(0.7))]).rows
    assert rows == (("frechet, pixels, 1000 samples, 300 reference", ("0.5 ± 0.01", "0.7 ± 0.01"), ""),)
    for other, says in ((measured(0.7, n=64), "64 samples"), (measured(0.7, digest="b" * 64), "bbbbbbbb")):
        [(_, cells, note)] = figures([a, make(f"c{says}", result=other)]).rows
        assert note.startswith("NOT COMPARABLE") and says in note and cells[1] == "0.7 ± 0.01"
    newest = make("d", result=[measured(0.8), measured(0.6)])
    assert figures([newest, newest]).rows[0][1][0] == "0.6 ± 0.01"


def test_runs_of_other_kinds_without_logs_or_samples_are_compared_all_the_same(make, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "model.json").write_text('{"about": [], "backbone": {"name": "Nothing"}, "shape": "?"}')
    (tmp_path / "bare" / "log.jsonl").write_text('{"seen": 1, "loss": NaN}\nrubbish\n[]\n{"seen": 2}\n')
    runs = [opened("digits"), opened("fashion_mnist"), opened("bare"), make("a", colour=None)]
    found = tables(runs)
    assert "different data" in found[0].said or "not known" in found[0].said
    assert runs[2].losses == () and "4 lines" in runs[2].notes[-1]
    assert page(runs, found).count("no grid of samples") == 4
    with pytest.raises(ReverieError, match="not a run"):
        opened(str(tmp_path))


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def test_hostile_text_stays_text_on_the_page_and_off_the_terminal(make, capsys):
    result = measured(0.5, name=EVIL)
    result["extractor"]["name"] = EVIL
    make("a", told={EVIL: EVIL, "network": "[bold]"}, result=result)
    make("b")
    with pytest.raises(SystemExit) as stop:
        main(["compare", "a", "b", "--all", "--out", "page"])
    told = capsys.readouterr().out
    assert stop.value.code == 0 and "\x1b" not in told and "[bold]" in told
    reader = Reader()
    content = Path("page/comparison.html").read_text()
    reader.feed(content)
    assert "script" not in reader.tags and not [name for name, _ in reader.attributes if name.startswith("on")]
    assert reader.tags.count("img") == 2 and reader.tags.count("title") == 1
    assert any("<script>alert(1)</script>" in one for one in reader.texts)  # shown, not run
    sources = [value for name, value in reader.attributes if name in ("src", "href")]
    assert all(one.startswith("data:image/png;base64,") for one in sources) and "default-src 'none'" in content


def test_the_page_holds_the_newest_grids_and_curves_that_can_be_drawn(make):
    runs = [make("a"), make("b<i>", scale=3.0, colour=(10, 200, 10), told={"seed": 5})]
    content = page(runs, tables(runs))
    for run, inside in zip(runs, re.findall(r"base64,([^\"]+)", content), strict=True):
        assert base64.b64decode(inside) == run.grid.read_bytes() and run.grid.name == "00004000-ema.png"
    assert "the seeds differ" in content
    drawing = ElementTree.fromstring(chart(runs))
    lines = [one.attrib["points"].split() for one in drawing if one.tag.endswith("polyline")]
    assert [len(line) for line in lines] == [40, 40]
    heights = [[float(point.split(",")[1]) for point in line] for line in lines]
    assert heights[0] == sorted(heights[0]) and all(
        a > b for a, b in zip(*heights)
    )  # falls; three times the loss is above
    assert min(heights[1]) == 12 and max(heights[0]) == pytest.approx(320 - 36)  # both ends of the axis are used


def test_the_command_refuses_what_it_cannot_do(make, capsys, tmp_path):
    make("a")
    (tmp_path / "kept.html").write_text("mine")
    for arguments, says in (
        (["a"], "two runs"),
        (["a", "nowhere"], "unknown run"),
        (["a", "a", "--out", "kept.html"], "exists"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["compare", *arguments])
        assert stop.value.code == 1 and says in capsys.readouterr().err
    assert (tmp_path / "kept.html").read_text() == "mine"


def test_values_are_short_lines():
    assert text({"name": "Karras", "steps": 20, "rho": 7.0}) == "Karras(steps=20, rho=7)"
    assert text([True, None, 1.5]) == "(yes, -, 1.5)" and clean("a\nb\x1b[2J") == "a b [2J"
    assert len(text("x" * 10_000)) == 200
