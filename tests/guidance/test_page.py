"""docs/guidance.md says what the code says."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_methods_is_not_stale(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from benchmarks import guidance_page

    page = (ROOT / "docs" / "guidance.md").read_text()
    missing = [row for row in guidance_page.listing() if row not in page]
    assert not missing, "render it: python -m benchmarks.guidance --render"
    assert (ROOT / "docs" / "images" / "guidance.png").stat().st_size < 100_000
