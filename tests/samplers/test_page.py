"""docs/samplers.md says what the code says."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_samplers_is_not_stale(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from benchmarks import samplers_page

    page = (ROOT / "docs" / "samplers.md").read_text()
    missing = [row for row in samplers_page.listing() if row not in page]
    assert not missing, "render it: python -m benchmarks.samplers --render"
    assert (ROOT / "docs" / "images" / "samplers.png").stat().st_size < 100_000
