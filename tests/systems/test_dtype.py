"""What a network computes in, on machines that have a type and on those that only emulate it."""

import pytest

import reverie
from reverie.systems import diffusion


@pytest.mark.parametrize(("fast", "found"), [(True, "bfloat16"), (False, "float32")])
def test_a_type_that_is_only_emulated_is_not_chosen_by_itself(fast, found, monkeypatch):
    monkeypatch.setattr(diffusion, "bfloat16_is_fast", lambda: fast)
    system = reverie.load("fashion_mnist")
    assert system.defaults.dtype == "bfloat16" and system.dtype == found
    assert system.generate(1, sample_steps=1).info["dtype"] == found
    assert system.generate(1, sample_steps=1, dtype="bfloat16").info["dtype"] == "bfloat16"
    edited = system.vary(system.generate(1, sample_steps=1).raw[0], sample_steps=1)
    assert edited.info["dtype"] == found
