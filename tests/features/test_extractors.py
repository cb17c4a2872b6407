"""What every extractor promises, and how one is chosen."""

import pytest
import torch

from reverie import features
from reverie.discover import discover
from reverie.errors import ReverieError
from reverie.features import Extractor, choose
from reverie.features.base import signed
from reverie.features.classifier import Classifier
from reverie.features.efficientnet import EfficientNetLite0
from reverie.features.inception import Inception
from reverie.features.pixels import Pixels
from reverie.files import fill

MAKERS = {
    "Pixels": lambda: Pixels((3, 6, 5)),
    "digits": lambda: Classifier("digits"),
    "fashion_mnist": lambda: Classifier("fashion_mnist"),
}
SHAPES = {"Pixels": (3, 6, 5), "digits": (1, 8, 8), "fashion_mnist": (1, 28, 28)}
each = pytest.mark.parametrize("name", MAKERS)


def pictures(name, n=7):
    return torch.randint(0, 256, (n, *SHAPES[name]), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@each
def test_features_are_rows_of_the_stated_size_without_gradients(name):
    extractor, raw = MAKERS[name](), pictures(name)
    found = extractor.extract(raw)
    assert found.shape == (7, extractor.dim) and found.dtype in (torch.float32, torch.float64)
    assert not found.requires_grad and found.isfinite().all()


@each
def test_a_row_does_not_depend_on_its_batch(name):
    extractor, raw = MAKERS[name](), pictures(name)
    whole = extractor.extract(raw)
    torch.testing.assert_close(extractor.extract(raw, batch=3), whole)
    torch.testing.assert_close(torch.cat(list(extractor.batches(raw, batch=2))), whole)


@each
def test_bytes_and_the_same_values_in_floats_have_the_same_features(name):
    extractor, raw = MAKERS[name](), pictures(name)
    torch.testing.assert_close(extractor.extract(signed(raw)), extractor.extract(raw), check_dtype=False)


@each
def test_gradients_reach_the_picture_and_not_the_weights(name):
    extractor, x = MAKERS[name](), signed(pictures(name)).requires_grad_()
    extractor(x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in extractor.parameters())


@each
def test_the_mode_is_put_back_and_the_hash_is_stable(name):
    extractor = MAKERS[name]()
    assert not any(module.training for module in extractor.modules())
    extractor.train()
    extractor.extract(pictures(name))
    assert extractor.training
    assert len(extractor.hash) == 64 and extractor.hash == MAKERS[name]().hash
    assert type(extractor).__name__.lower() in extractor.name


def test_no_sample_has_no_features():
    with pytest.raises(ReverieError, match="no sample"):
        Pixels((3, 6, 5)).extract(torch.zeros(0, 3, 6, 5))


def test_pixels_are_the_values_between_minus_one_and_one():
    raw = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    torch.testing.assert_close(Pixels((1, 1, 3)).extract(raw), torch.tensor([[-1, -0.6, 1]], dtype=torch.float64))
    floats = torch.randn(4, 2, 3)
    assert Pixels((2, 3)).extract(floats).equal(floats.flatten(1).double())


def test_every_file_here_is_found():
    assert set(discover(features, Extractor)) == {"Classifier", "EfficientNetLite0", "Inception", "Pixels"}


def test_the_choice_follows_shape_and_data(monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    assert isinstance(choose((1, 8, 8), "digits"), Pixels)
    assert choose((1, 28, 28), "fashion_mnist").name == "classifier(fashion_mnist)"
    assert isinstance(choose((2, 100)), Pixels) and isinstance(choose((1, 16, 16, 16)), Pixels)
    assert choose((1, 8, 8), "digits", "classifier").name == "classifier(digits)"
    with pytest.raises(ReverieError, match="reverie data get efficientnet_lite0"):
        choose((3, 64, 64))


def test_names_and_shapes_that_do_not_fit_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    with pytest.raises(ReverieError, match="Did you mean 'Classifier'"):
        choose((1, 8, 8), name="clasifier")
    with pytest.raises(ReverieError, match="there is no classifier for samples"):
        choose((1, 9, 9), "digits", "classifier")
    with pytest.raises(ReverieError, match="Did you mean 'digits'"):
        Classifier("digit")
    for cls in (EfficientNetLite0, Inception):
        with pytest.raises(ReverieError, match="takes pictures"):
            cls.build((4, 100))
    with pytest.raises(ReverieError, match=r"pt_inception-2015-12-05.*data.inception"):
        Inception()


def test_weights_that_do_not_fit_are_listed():
    module = torch.nn.Linear(3, 2)
    with pytest.raises(
        ReverieError, match=r"1 missing: bias; 1 unexpected: gain; 1 misshapen: weight is \(3, 2\) where \(2, 3\)"
    ):
        fill(module, {"weight": torch.zeros(3, 2), "gain": torch.zeros(1)}, "it")
    fill(module, {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, "it")
    assert module.weight.eq(1).all()
