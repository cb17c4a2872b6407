"""The classifiers that ship classify, and their training is what its recipe says."""

import pytest
import torch

from reverie.data.builtin import load
from reverie.errors import ReverieError
from reverie.features.classifier import WEIGHTS, Classifier, Network
from reverie.features.fitting import fit, mirrored, shifted
from reverie.files import save_tensors, sha256


def accuracy(name):
    test = load(name).test
    return (Classifier(name).labels(test.raw) == test.values["label"]).double().mean().item()


def test_digits_held_out_are_told_apart():
    assert accuracy("digits") >= 0.98


def test_clothes_held_out_are_told_apart():
    try:
        found = accuracy("fashion_mnist")
    except ReverieError as error:
        pytest.skip(str(error))
    assert found >= 0.925


@pytest.mark.parametrize("name", Classifier.SHAPES)
def test_weights_are_small_and_their_page_names_them(name):
    file = WEIGHTS / f"{name}.safetensors"
    assert file.stat().st_size < 2**20
    assert sha256(file) in (WEIGHTS / "README.md").read_text()


def some(n=64):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    x = torch.randint(0, 60, (n, 1, 8, 8), dtype=torch.uint8, generator=generator)
    x[torch.arange(n), 0, 2 * y + 1] += 150
    return x, y


def trained(**options):
    *_, (_, loss, network) = fit(*some(), widths=(8, 8), batch=16, **{"epochs": 15, "shift": 0} | options)
    return loss, network


def test_training_learns_what_is_easy():
    loss, network = trained()
    x, y = some()
    assert loss < 0.1 and network(x / 127.5 - 1).argmax(1).equal(y)


def test_training_is_a_function_of_its_seed_and_leaves_the_global_generator():
    before = torch.random.get_rng_state()
    one, same, other = (trained(seed=s, shift=1, mirror=True, epochs=2)[1].state_dict() for s in (1, 1, 2))
    assert all(one[name].equal(same[name]) for name in one)
    assert not all(one[name].equal(other[name]) for name in one)
    assert torch.random.get_rng_state().equal(before)


def test_folded_norms_give_the_same_function(tmp_path):
    _, network = trained(epochs=2)
    x = some()[0] / 127.5 - 1
    folded = Network.of(network.folded(), "it").eval()
    torch.testing.assert_close(folded(x), network.eval()(x), rtol=1e-4, atol=1e-4)
    save_tensors(tmp_path / "it.safetensors", network.folded())
    again = Classifier("mine", path=tmp_path / "it.safetensors")
    torch.testing.assert_close(again.logits(some()[0]), network(x), rtol=1e-4, atol=1e-4)
    assert again.dim == 8 and again.classes == 3


@pytest.mark.parametrize("spoil", [lambda t: t.pop("head.bias"), lambda t: t.pop("convs.1.bias"), lambda t: t.clear()])
def test_files_that_are_no_classifier_are_refused(spoil):
    tensors = trained(epochs=1)[1].folded()
    spoil(tensors)
    with pytest.raises(ReverieError, match="it does"):
        Network.of(tensors, "it")


def test_shifts_move_whole_pictures_and_repeat_the_edge():
    x = torch.arange(25.0).reshape(1, 1, 5, 5).expand(200, 1, 5, 5)
    moved = shifted(x, 1, torch.Generator().manual_seed(0))
    step = moved[:, 0, 2, 2] - 12  # 5 a row, 1 a column
    assert set(step.tolist()) == {5 * r + c for r in (-1, 0, 1) for c in (-1, 0, 1)}
    still = moved[step == 0]
    assert still.equal(x[: len(still)])
    down = moved[step == 5][0, 0]
    assert down[:4].equal(x[0, 0, 1:]) and down[4].equal(x[0, 0, 4])


def test_mirrors_turn_half_of_the_pictures():
    x = torch.arange(25.0).reshape(1, 1, 5, 5).expand(200, 1, 5, 5)
    turned = mirrored(x, torch.Generator().manual_seed(0))
    same = (turned == x).flatten(1).all(1)
    assert turned[~same].equal(x[~same].flip(3)) and 70 < same.sum() < 130
