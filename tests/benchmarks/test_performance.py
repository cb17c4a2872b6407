"""The benchmarks of speed: what they compare is alike, a missing peer stops them, and the page is what they measured."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import performance, startup, throughput  # noqa: E402
from benchmarks.processes import Process  # noqa: E402


@pytest.mark.parametrize("kind", list(throughput.CONTENDERS))
def test_networks_that_are_compared_have_the_same_parameters_and_operations(kind, monkeypatch):
    monkeypatch.setattr(throughput, "BATCH", 2)  # counts are of one image
    names = [name for name in throughput.CONTENDERS[kind] if "compile" not in name]
    sizes = {name: throughput.counted(throughput.CONTENDERS[kind][name](name)) for name in names}
    throughput.check_alike(sizes)
    sizes[names[-1]] = {**sizes["ours"], "flop": 1.04 * sizes["ours"]["flop"]}
    with pytest.raises(SystemExit, match="not within 3%"):
        throughput.check_alike(sizes)


def test_a_missing_peer_stops_the_benchmark_and_writes_nothing(tmp_path):
    code = "import sys; sys.modules['diffusers'] = None; from benchmarks.throughput import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--out", str(tmp_path / "found.json")], cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1 and "pip install 'reverie[bench]'" in done.stderr and not list(tmp_path.iterdir())


def test_a_contender_answers_every_question_on_its_turn():
    command = [sys.executable, "-m", "benchmarks.throughput", "--threads", "1", "--seconds", "0", "--be", "dit"]
    one = Process("theirs", [*command, "diffusers as run: float32"])
    try:
        assert one.ask("size")["parameters"] > 1e7
        assert one.ask("infer") > 0 and one.ask("memory") > 100
    finally:
        one.end()
    with pytest.raises(SystemExit, match="failed at infer"):
        Process("nobody", [*command, "nobody"]).ask("infer")


def test_ratios_are_of_one_round_and_ours_is_the_faster_of_ours():
    speeds = {"ours": {"train": [1.0, 1.0, 1.0]}, "ours, --compile on": {"train": [4.0, 6.0, 2.0]},
              "theirs": {"train": [2.0, 2.0, 2.0]}}  # fmt: skip
    assert performance.ratio(speeds, "train", "theirs") == (1.0, 2.0, 3.0)


def test_the_page_is_what_was_measured(tmp_path, monkeypatch):
    for path in performance.DOCS.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    shown = (performance.DOCS / "performance.md").read_text()
    monkeypatch.setattr(performance, "DOCS", tmp_path)
    performance.main()
    assert (tmp_path / "performance.md").read_text() == shown, "render it: python -m benchmarks.performance"


def test_starting_up_is_judged_by_its_median():
    found = {name: [bar / 2, bar * 2, bar * 3] for name, bar in startup.BARS.items()}
    assert sum("not reached" in row for row in startup.table(found)) == len(startup.BARS)
    found = {name: [bar / 2, bar / 3, bar * 3] for name, bar in startup.BARS.items()}
    assert not any("not reached" in row for row in startup.table(found))
