"""Weaker networks of the same weights, against the same change made another way."""

import pytest
import torch

from reverie.nn import attention, dit
from reverie.nn.dit import Block, DiT
from reverie.nn.unet import Stage, UNet
from reverie.nn.weaker import blocks

from .networks import EACH, inputs, randomised, small

each = pytest.mark.parametrize(("kind", "spatial"), EACH)


@pytest.fixture
def own_value(monkeypatch):
    """Attention that returns the values: every map is the identity."""
    for module in (attention, dit):
        monkeypatch.setattr(module, "attend", lambda q, k, v, mask=None: v)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blind_in_all_blocks_is_attention_by_the_identity(kind, spatial, dtype, own_value):
    network = randomised(small(kind, spatial, classes=3)).to(dtype)
    attending = [i for i, name in enumerate(blocks(network)[0]) if network.get_submodule(name).attention is not None]
    x, c_noise, said = inputs(network)
    wanted = network(x, c_noise, **said)
    found = network.blind(attending)(x, c_noise, **said)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 if dtype == torch.float32 else 0.1)


@each
def test_blind_changes_the_blocks_named_and_no_other(kind, spatial):
    network = randomised(small(kind, spatial))
    x, c_noise, said = inputs(network)
    whole, middle = network(x, c_noise, **said), network.blind()(x, c_noise, **said)
    assert not torch.allclose(whole, middle) and whole.equal(network(x, c_noise, **said))
    assert network.blind([blocks(network)[1]])(x, c_noise, **said).equal(middle)


@each
def test_without_a_block_is_the_network_whose_block_adds_nothing(kind, spatial):
    """In a second network the output layers of that block's branches are zero."""
    network, silent = (randomised(small(kind, spatial)) for _ in range(2))
    silent.load_state_dict(network.state_dict())
    x, c_noise, said = inputs(network)
    names, middle = blocks(network)
    for i in (0, middle, len(names) - 1):
        block = silent.get_submodule(names[i])
        ends = [block.residual.conv_2, block.attention.out if block.attention else None] if isinstance(block, Stage) else [
            block.attention.out, block.mlp[-1]
        ]  # fmt: skip
        for end in filter(None, ends):
            for p in end.parameters():
                p.data.zero_()
        torch.testing.assert_close(network.without([i])(x, c_noise, **said), silent(x, c_noise, **said))
        silent.load_state_dict(network.state_dict())


def test_all_blocks_away_leave_the_embedding_and_the_head():
    network = randomised(small(DiT))
    x, c_noise, _ = inputs(network)
    bare = network.without(range(2))
    assert not any(isinstance(part, Block) for part in bare.blocks)
    silent = DiT(**network.config | {"depth": 1})
    silent.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("blocks.1")})
    torch.testing.assert_close(bare(x, c_noise), silent.without([0]).eval()(x, c_noise))


@each
def test_weights_are_shared_and_the_network_stays_as_it_was(kind, spatial):
    network = randomised(small(kind, spatial))
    names = list(network.state_dict())
    for weaker in (network.blind(), network.without(), network.blind().without([0])):
        ours = {id(p) for p in network.parameters()}
        assert {id(p) for p in weaker.parameters()} == ours
    assert list(network.state_dict()) == names and type(network.blind()) is kind


def test_blocks_are_counted_in_the_order_they_run():
    network, ran = small(UNet, levels=(16, 32), blocks=2), []
    names, middle = blocks(network)
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    network(*inputs(network)[:2])
    assert ran == names and names[middle] == "middle.0"


def test_a_block_that_is_not_there_or_does_not_attend_is_refused():
    network = small(UNet)
    for ask in (network.blind, network.without):
        with pytest.raises(ValueError, match="blocks 0 to 7, and no 8"):
            ask([8])
    with pytest.raises(ValueError, match="block 0 of this UNet does not attend"):
        network.blind([0])
    with pytest.raises(ValueError, match="does not attend: none do"):
        small(UNet, attention=[False, False]).blind()
