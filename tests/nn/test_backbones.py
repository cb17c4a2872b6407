"""What holds for every backbone, over 1, 2 and 3 axes."""

import json

import pytest
import torch

import reverie.nn
from reverie.discover import discover
from reverie.nn.base import Backbone
from reverie.nn.dit import DiT
from reverie.nn.unet import UNet

from .networks import CONDITIONS, EACH, SIZES, inputs, randomised, small

each_backbone = pytest.mark.parametrize(("kind", "spatial"), EACH, ids=lambda one: getattr(one, "__name__", str(one)))
each_kind = pytest.mark.parametrize("kind", [UNet, DiT])


def test_backbones_are_found_by_name():
    assert discover(reverie.nn, Backbone).items() >= {"UNet": UNet, "DiT": DiT}.items()


@each_backbone
def test_the_output_is_zero_before_training(kind, spatial):
    network = small(kind, spatial, **CONDITIONS)
    x, c_noise, conditions = inputs(network)
    assert network(x, c_noise, **conditions).equal(torch.zeros_like(x))


@each_backbone
def test_training_reaches_every_parameter(kind, spatial):
    network = randomised(small(kind, spatial, **CONDITIONS))
    x, c_noise, conditions = inputs(network)
    network(x, c_noise, **conditions).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
@each_backbone
def test_any_size_goes_in_and_comes_out(kind, spatial):
    network = randomised(small(kind, spatial, out_channels=3))
    for size in [SIZES[spatial], (8,) * spatial, (1,) * (spatial - 1) + (9,), (2,) * spatial]:
        x, c_noise, _ = inputs(network, 2, size)
        y = network(x, c_noise)
        assert y.shape == (2, 3, *size) and y.isfinite().all()


@torch.no_grad()
@each_backbone
def test_samples_of_a_batch_do_not_meet(kind, spatial):
    network = randomised(small(kind, spatial, **CONDITIONS))
    x, c_noise, conditions = inputs(network, 4)
    together = network(x, c_noise, **conditions)
    alone = [network(x[i, None], c_noise[i, None], **{k: v[i, None] for k, v in conditions.items()}) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@each_backbone
def test_noise_and_every_condition_matter(kind, spatial):
    network = randomised(small(kind, spatial, **CONDITIONS))
    x, c_noise, conditions = inputs(network)
    here = network(x, c_noise, **conditions)
    changed = dict(label=conditions["label"].roll(1), scalars=-conditions["scalars"], tokens=-conditions["tokens"])
    for name, value in changed.items():
        there = network(x, c_noise, **conditions | {name: value})
        assert (there - here).std() > 1e-3, name
    assert (network(x, c_noise + 0.1, **conditions) - here).std() > 1e-3


@torch.no_grad()
@each_backbone
def test_a_masked_token_says_nothing(kind, spatial):
    network = randomised(small(kind, spatial, tokens=5))
    x, c_noise, conditions = inputs(network)
    tokens, mask = conditions["tokens"], conditions["tokens_mask"]
    assert not mask[0].any()
    here = network(x, c_noise, tokens=tokens, tokens_mask=mask)
    assert here.isfinite().all()
    assert here.equal(network(x, c_noise, tokens=torch.where(mask[..., None], tokens, 9.0), tokens_mask=mask))
    shorter = network(x, c_noise, tokens=tokens[:, :2], tokens_mask=mask[:, :2])
    torch.testing.assert_close(here, shorter, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@each_kind
def test_tokens_are_a_set(kind):
    """Their order is for whoever made them to write into them."""
    network = randomised(small(kind, tokens=5))
    x, c_noise, conditions = inputs(network)
    tokens, mask, order = conditions["tokens"], conditions["tokens_mask"], torch.tensor([2, 0, 3, 1])
    here, there = (
        network(x, c_noise, tokens=t, tokens_mask=m) for t, m in ((tokens, mask), (tokens[:, order], mask[:, order]))
    )
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@each_kind
def test_the_null_label_is_the_row_after_the_last_class(kind):
    network = randomised(small(kind, classes=3))
    x, c_noise, _ = inputs(network)
    table = network.conditions.label.weight
    assert len(table) == 4
    unconditional = network(x, c_noise, label=torch.full((3,), 3))
    table[1] = table[3]
    assert unconditional.equal(network(x, c_noise, label=torch.full((3,), 1)))


@torch.no_grad()
@each_backbone
def test_bfloat16_agrees_with_float32(kind, spatial):
    network = randomised(small(kind, spatial, **CONDITIONS))
    x, c_noise, conditions = inputs(network)
    truth = network(x, c_noise, **conditions)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = network(x, c_noise, **conditions)
    low = network.to(torch.bfloat16)(x, c_noise, **conditions)
    for y in (mixed, low):
        assert y.dtype == torch.float32
        assert (y - truth).square().mean() < (0.03 * truth.std()) ** 2


@torch.no_grad()
@each_kind
def test_noise_levels_stay_apart_in_bfloat16(kind):
    """An index of 981 is 980 in bfloat16, which must not happen on the way to the sinusoids."""
    network = randomised(small(kind, noise_scale=1.0)).to(torch.bfloat16)
    x, _, _ = inputs(network)
    assert not network(x, torch.full((3,), 981.0)).equal(network(x, torch.full((3,), 980.0)))


@each_backbone
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_recomputing_blocks_changes_no_gradient(kind, spatial, dtype):
    network = randomised(small(kind, spatial, **CONDITIONS))
    x, c_noise, conditions = inputs(network)
    grads = []
    for network.checkpoint in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            network(x, c_noise, **conditions).square().sum().backward()
        grads.append([p.grad.clone() for p in network.parameters()])
    assert all(one.equal(other) for one, other in zip(*grads))


@each_backbone
def test_it_compiles_without_a_break(kind, spatial):
    torch.compiler.reset()
    network = randomised(small(kind, spatial, **CONDITIONS))
    x, c_noise, conditions = inputs(network)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert compiled(x, c_noise, **conditions).equal(network(x, c_noise, **conditions))


@each_backbone
def test_its_config_rebuilds_it(kind, spatial):
    network = small(kind, spatial, out_channels=5, **CONDITIONS)
    config = json.loads(json.dumps(network.config))
    assert config == network.config
    twin = kind(**config)
    assert twin.config == config
    twin.load_state_dict(network.state_dict(), strict=True)


@each_backbone
def test_its_size_is_known_before_it_is_allocated(kind, spatial):
    network = small(kind, spatial, **CONDITIONS)
    assert kind.size(**network.config) == sum(p.numel() for p in network.parameters())
    with torch.device("meta"):
        twin = kind(**network.config)
    assert all(p.is_meta for p in twin.parameters()) and not list(twin.buffers())
    assert kind.size(**network.config | dict(tokens=2**16, scalars=2**16)) > 2 * kind.size(**network.config)


@pytest.mark.parametrize(
    ("kind", "hostile"),
    [
        (UNet, dict(levels=[2**60, 2**60])),
        (UNet, dict(levels=[64] * 10**6)),
        (UNet, dict(levels="64")),
        (UNet, dict(blocks=10**9)),
        (UNet, dict(blocks=True)),
        (UNet, dict(spatial=4)),
        (UNet, dict(channels=0)),
        (UNet, dict(attention=[True])),
        (UNet, dict(groups=0)),
        (UNet, dict(classes=-1)),
        (DiT, dict(width=2**40)),
        (DiT, dict(width=3)),
        (DiT, dict(depth=10**9)),
        (DiT, dict(patch=[2, 2, 2])),
        (DiT, dict(patch=0)),
        (DiT, dict(tokens=2**40)),
    ],
    ids=str,
)
def test_what_is_out_of_bounds_is_refused_before_anything_is_allocated(kind, hostile):
    with pytest.raises(ValueError):
        kind.size(**hostile)


@each_kind
@pytest.mark.parametrize(
    ("built", "given", "says"),
    [
        ({}, dict(label=torch.zeros(3, dtype=torch.long)), "takes no label: it was built with classes=0"),
        ({}, dict(tokens=torch.zeros(3, 4, 5)), "takes no tokens"),
        ({}, dict(tokens_mask=torch.ones(3, 4, dtype=torch.bool)), "beside tokens"),
        (dict(classes=2), {}, "needs label: it was built with classes=2"),
        (dict(scalars=2), {}, "needs scalars"),
        (dict(tokens=5), {}, "needs tokens"),
        (dict(scalars=2), dict(scalars=torch.zeros(3, 3)), r"should have \(3, 2\)"),
        (dict(classes=2), dict(label=torch.zeros(2, dtype=torch.long)), r"should have \(3,\)"),
        (dict(tokens=5), dict(tokens=torch.zeros(3, 5)), r"should have \(3, 1, 5\)"),
    ],
    ids=str,
)
def test_conditions_that_do_not_fit_are_refused(kind, built, given, says):
    network = small(kind, **built)
    x, c_noise, _ = inputs(network)
    with pytest.raises(ValueError, match=says):
        network(x, c_noise, **given)


@each_kind
def test_inputs_of_another_shape_are_refused(kind):
    network = small(kind)
    x, c_noise, _ = inputs(network)
    with pytest.raises(ValueError, match=r"takes \(B, 2, H, W\)"):
        network(x[:, :1], c_noise)
    with pytest.raises(ValueError, match=r"takes \(B, 2, H, W\)"):
        network(x[..., 0], c_noise)
    with pytest.raises(ValueError, match="c_noise has shape"):
        network(x, c_noise[:1])


@each_kind
def test_dropout_is_off_in_evaluation(kind):
    network = randomised(small(kind, dropout=0.5))
    x, c_noise, _ = inputs(network)
    assert network(x, c_noise).equal(network(x, c_noise))
    network.train()
    assert not network(x, c_noise).equal(network(x, c_noise))
