"""docs/inverse.md, from docs/inverse.json."""

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
DATA, PAGE, PICTURE = DOCS / "inverse.json", DOCS / "inverse.md", DOCS / "images" / "inverse.png"
TEXT = Path(__file__).with_name("inverse_page.md")
CLASSICAL = {"biharmonic", "bicubic", "lanczos", "Wiener", "Richardson-Lucy", "as measured"}
HEAD = """| method | PSNR of a draw | of the mean of 8 | SSIM | distance of features |
| --- | --- | --- | --- | --- |"""


def render() -> None:
    result = json.loads(DATA.read_text())
    parts = []
    for stage, told in (("few", "32 pictures"), ("more", "64 pictures, the best four of each")):
        for problem, figures in result[stage].items():
            parts.append(f"### {problem}, {told}\n\n{table(figures)}")
    PAGE.write_text(TEXT.read_text().replace("{TABLES}", "\n\n".join(parts)))


def table(figures: dict[str, Any]) -> str:
    good = {name: one for name, one in figures.items() if "psnr" in one}
    rows = [HEAD]
    for name in sorted(good, key=lambda name: (name in CLASSICAL, good[name]["distance"])):
        one = good[name]
        same = name in CLASSICAL
        label = name if same else f"`{name}`{', float32' if one.get('dtype') == 'float32' else ''}"
        rows.append(f"| {label} | {one['psnr']:.2f} | {'' if same else format(one['psnr_mean'], '.2f')} "
                    f"| {one['ssim']:.3f} | {one['distance']:.3f} |")  # fmt: skip
    rows += [f"| `{name}` | not defined here | | | |" for name, one in figures.items() if "refused" in one]
    return "\n".join(rows)
