"""The recipe of the classifiers writes weights that the extractor reads, and the same ones each time."""

import torch

from reverie.features.classifier import Classifier
from reverie.files import sha256
from reverie.recipes import classifier as recipe


def test_a_classifier_is_trained_written_and_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(recipe.OPTIONS, "digits", recipe.OPTIONS["digits"] | {"epochs": 2, "widths": (8, 16)})
    first, second = (recipe.classifier("digits", out=tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    assert first == second and first["held_out"] == 300 and first["accuracy"] > 0.5
    assert sha256(tmp_path / "a.safetensors") == sha256(tmp_path / "b.safetensors")
    extractor = Classifier("digits", path=tmp_path / "a.safetensors")
    assert extractor.dim == 16 and extractor.extract(torch.zeros(2, 1, 8, 8)).shape == (2, 16)
    assert "of 300 held out" in capsys.readouterr().out
