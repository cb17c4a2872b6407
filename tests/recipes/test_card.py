"""The model card of a run."""

from dataclasses import replace

from reverie.data import builtin
from reverie.recipes.card import BEGIN, END, card, tell
from reverie.recipes.digits import Digits

RECIPE = Digits(samples=64, seed=5, dtype="float32", network="unet(levels=(16, 16), blocks=1, groups=4)")
FIGURES = {
    "made_by": {"sampler": {"name": "DPMpp2M"}, "grid": {"steps": 20}, "scale": 1.0, "dtype": "float32", "seed": 3,
                "weights": {"name": "ema", "sha256": "a" * 64}},
    "ladder": {"train": {"frechet": 0.5}}, "counts": {"samples": 100}, "extractor": {"name": "pixels"},
    "figures": {"frechet": {"value": 0.75, "error": 0.01, "better": "lower"}}, "warnings": ["few samples"],
}  # fmt: skip


def test_the_card_has_data_licence_seed_grid_and_figures(tmp_path):
    data = builtin.load("digits")
    system = RECIPE.system(data)
    system.about["seen"] = 64
    (tmp_path / "samples").mkdir()
    for name in ("00000032-ema.png", "00000064-ema.png", "00000064-raw.png"):
        (tmp_path / "samples" / name).touch()
    text = card(system, tmp_path, RECIPE)
    (tmp_path / "README.md").write_text(text)
    parts = (data.source, data.licence, "| seed | 5 |", "1,497 samples", "| 64 samples of 64, in batches of 64", "Cosine()",
             "(samples/00000064-ema.png)", f"reverie sample {tmp_path.name}", "reverie 0.", "torch 2.")  # fmt: skip
    for part in parts:
        assert part in text, part
    assert "32-ema" not in text and str(tmp_path.parent) not in text and f"{BEGIN}\nNot measured yet.\n{END}" in text
    tell(tmp_path, FIGURES)
    told = (tmp_path / "README.md").read_text()
    assert "| frechet | 0.75 ± 0.01 | 0.5 | lower |" in told and "Not measured" not in told and "few samples" in told
    assert "DPMpp2M with 20 steps, scale 1, float32, seed 3, weights ema aaaaaaaaaaaaaaaa" in told
    assert "not stated: ask whoever made them" in card(replace_licence(system), tmp_path, replace(RECIPE, seed=6))


def replace_licence(system):
    system.about["licence"] = ""
    return system
