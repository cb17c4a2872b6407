"""Inception-v3 has the published layout, reads it strictly, and pools as the network of 2015 did."""

import hashlib

import pytest
import torch

from reverie.errors import ReverieError
from reverie.features.inception import Inception, InceptionV3, average, counters_removed, maximum
from reverie.files import save_tensors

LAYOUT = "d84f693f2abd7fea61cb31c87d3b2f268bf707c1bae1db219afdad3363959cb0"
"""sha256 of the sorted lines "name shape" of torchvision's Inception-v3 with 1008 classes and no auxiliary head."""


def published():
    torch.manual_seed(0)
    return counters_removed(InceptionV3().state_dict())


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with random weights in the published layout, in float16."""
    root = tmp_path_factory.mktemp("cache")
    save_tensors(root / "data/inception/weights.safetensors", {name: t.half() for name, t in published().items()})
    return root


def test_names_and_shapes_are_the_published_ones():
    tensors = published()
    assert len(tensors) == 94 * 5 + 2
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == LAYOUT
    assert tensors["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    assert tensors["Mixed_6c.branch7x7dbl_4.conv.weight"].shape == (160, 160, 7, 1)
    assert tensors["fc.weight"].shape == (1008, 2048)


def test_blocks_widen_as_published():
    assert [block.width for block in InceptionV3().blocks()] == [
        256,
        288,
        288,
        768,
        768,
        768,
        768,
        768,
        1280,
        2048,
        2048,
    ]


def test_weights_in_the_cache_give_2048_features(cache, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(cache))
    extractor = Inception()
    found = extractor.extract(torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8), batch=1)
    assert found.shape == (2, 2048) and found.isfinite().all() and extractor.name == "inception"
    assert not found[0].equal(found[1])


def test_counts_of_training_batches_may_be_there_or_not(tmp_path):
    save_tensors(
        tmp_path / "it.safetensors",
        {n: t.half() if t.is_floating_point() else t for n, t in InceptionV3().state_dict().items()},
    )
    Inception(tmp_path / "it.safetensors")


def test_what_does_not_fit_is_listed(tmp_path):
    tensors = {name: t.half() for name, t in published().items()}
    del tensors["Mixed_5b.branch1x1.bn.bias"]
    tensors["AuxLogits.fc.bias"] = torch.zeros(3)
    tensors["fc.bias"] = torch.zeros(1000)
    save_tensors(tmp_path / "it.safetensors", tensors)
    with pytest.raises(ReverieError) as caught:
        Inception(tmp_path / "it.safetensors")
    told = str(caught.value)
    assert "1 missing: Mixed_5b.branch1x1.bn.bias" in told and "1 unexpected: AuxLogits.fc.bias" in told
    assert "fc.bias is (1000,) where (1008,) is needed" in told and "\n" not in told


def test_two_files_of_weights_are_one_too_many(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    for name in "ab":
        save_tensors(tmp_path / f"data/inception/{name}.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(ReverieError, match="2 files"):
        Inception()


def test_the_average_counts_only_what_lies_inside():
    assert average(torch.ones(1, 1, 4, 4)).eq(1).all()
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 0] = 1
    assert average(corner)[0, 0, 0, 0] == 1 / 4 and average(corner)[0, 0, 0, 1].item() == pytest.approx(1 / 6)


def test_only_the_last_block_pools_by_the_maximum():
    pools = [block.pool for block in InceptionV3().blocks() if block.branch_pool]
    assert pools == [average] * 8 + [maximum]
