"""Low-rank changes of layers: nothing at first, what they say they are, and what merging them makes."""

import pytest
import torch

from reverie.nn.dit import DiT
from reverie.nn.lowrank import Delta, LowRank, add, insert, matched, merged, taken
from reverie.nn.unet import UNet

NETWORKS = {
    "unet": lambda: UNet(levels=(16, 16), blocks=1, attention=(False, True), groups=8, classes=3, tokens=8),
    "volume": lambda: UNet(spatial=3, levels=(8, 8), blocks=1, attention=(False, False), groups=4),
    "dit": lambda: DiT(width=32, depth=2, head_size=16),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    made = NETWORKS[request.param]()
    for p in made.parameters():  # no zero hides a difference
        torch.nn.init.normal_(p, std=0.2)
    return made.eval()


def out(network):
    noise = torch.Generator().manual_seed(1)
    x = torch.randn(2, network.channels, *[8] * network.spatial, generator=noise)
    given = {"label": torch.tensor([0, 2])} if network.classes else {}
    given |= {"tokens": torch.randn(2, 3, network.tokens, generator=noise)} if network.tokens else {}
    return network(x, torch.tensor([0.1, -0.4]), **given)


def test_a_fresh_change_is_none_bit_for_bit(network):
    before = out(network)
    insert(network, matched(network, "*"), rank=3, alpha=3.0)
    assert torch.equal(out(network), before)


def test_only_changes_are_trained_and_merging_makes_the_same_network(network):
    names = matched(network, "*")
    insert(network, names, rank=3, alpha=6.0)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {
        f"{name}.parametrizations.weight.0.{part}" for name in names for part in ("down", "up")
    }
    for part in network.modules():
        if isinstance(part, LowRank):
            torch.nn.init.normal_(part.up, std=0.1)
    changed, tensors = out(network), network.state_dict()
    plain = type(network)(**network.config).eval()
    plain.load_state_dict(merged(tensors))
    torch.testing.assert_close(out(plain), changed, atol=1e-5, rtol=1e-5)
    base = type(network)(**network.config).eval()
    base.load_state_dict({
        name.replace(".parametrizations.weight.original", ".weight"): one
        for name, one in tensors.items() if "weight.0." not in name
    })  # fmt: skip
    assert (out(base) - changed).abs().max() > 1e-3
    changes = taken(tensors)
    assert all(one.alpha / one.rank == pytest.approx(2.0) for one in changes.values())
    add(base, changes)
    torch.testing.assert_close(out(base), changed, atol=1e-5, rtol=1e-5)


def test_its_gradient_is_that_of_the_two_factors():
    """Against the product written out."""
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(5, 4), torch.randn(7, 5)
    weight = layer.weight.detach().clone()
    insert(layer_in := torch.nn.Sequential(layer), ["0"], rank=2, alpha=3.0)
    change = layer.parametrizations.weight[0]
    torch.nn.init.normal_(change.up)
    layer_in(x).square().sum().backward()
    down, up = (one.detach().clone().requires_grad_() for one in (change.down, change.up))
    (x @ (weight + 3 / 2 * up @ down).T + layer.bias.detach()).square().sum().backward()
    torch.testing.assert_close(change.down.grad, down.grad)
    torch.testing.assert_close(change.up.grad, up.grad)
    assert layer.parametrizations.weight.original.grad is None


def test_under_autocast_the_change_is_not_rounded():
    layer = torch.nn.Sequential(torch.nn.Linear(8, 8))
    insert(layer, ["0"], rank=2, alpha=2.0)
    torch.nn.init.normal_(layer[0].parametrizations.weight[0].up)
    exact = layer[0].weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer[0].weight, exact)


def test_a_rank_is_at_most_a_layers_smaller_side():
    layer = torch.nn.Sequential(torch.nn.Linear(3, 40))
    insert(layer, ["0"], rank=16, alpha=8.0)
    change = taken(layer.state_dict())["0"]
    assert change.rank == 3
    assert change.alpha / change.rank == pytest.approx(8 / 16)


def test_patterns_name_layers_or_what_they_are_in():
    network = NETWORKS["unet"]()
    assert matched(network, "*.q, head") == [
        name for name in matched(network, "*") if name.endswith(".q") or name == "head"
    ]
    assert matched(network, "middle") == [name for name in matched(network, "*") if name.startswith("middle.")]
    with pytest.raises(ValueError, match="names no linear map"):
        matched(network, "head, nowhere")


def test_what_does_not_fit_changes_nothing():
    network = NETWORKS["unet"]()
    before = {name: p.clone() for name, p in network.state_dict().items()}
    good = Delta(torch.ones(1, 8), torch.ones(16, 1), 1.0)
    for bad in ({"middle.0.attention.nowhere": good}, {"head": Delta(torch.ones(1, 5), torch.ones(7, 1), 1.0)}):
        with pytest.raises(ValueError, match=r"has no|make no change"):
            add(network, {"stem": Delta(torch.ones(1, 27), torch.ones(16, 1), 1.0), **bad})
    assert all(torch.equal(p, before[name]) for name, p in network.state_dict().items())
