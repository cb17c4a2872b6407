"""What is taken over starts as the function that it was: theorems about networks, with weights at random."""

import math

import pytest
import torch

from reverie.codecs.standard import Standard
from reverie.conditioning import Augmented, Joint, Labels, Scalars, Unconditional
from reverie.core.parameterizations import Karras, LogSNR
from reverie.core.schedules import Cosine
from reverie.errors import ReverieError
from reverie.modalities.arrays import Arrays
from reverie.nn.dit import DiT
from reverie.nn.unet import UNet
from reverie.recipes.freezing import freeze
from reverie.recipes.transfer import transfer
from reverie.systems.diffusion import Diffusion

LAYOUTS = {
    "unet": (UNet, {"levels": (8, 16), "blocks": 1, "groups": 4}),
    "patched": (UNet, {"levels": (8, 8), "blocks": 1, "groups": 4, "patch": 2}),
    "dit": (DiT, {"width": 16, "depth": 2, "head_size": 8}),
}
HUE = Scalars(("hue", "size"), (0.5, 10.0), (0.25, 2.0))
PETS = Labels(("cat", "dog"))


def model(layout="unet", conditioner=PETS, channels=1, axes=(6, 6), shaken=True, **more):
    cls, options = LAYOUTS[layout]
    network = cls(spatial=len(axes), channels=channels, **options | more, **conditioner.backbone_options())
    if shaken:  # zeros of the initialisation would hide what is wrong
        with torch.no_grad():
            for i, p in enumerate(network.parameters()):
                p.add_(0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    return Diffusion(network.eval(), Cosine(), Karras(), LogSNR(), Standard(), conditioner, Arrays(), (channels, *axes))


def started(source, **how):
    """A model that took over, and what it took."""
    system = model(shaken=False, **how)
    made = transfer(source, system)
    system.network.load_state_dict(made.tensors)
    return system, made


@torch.no_grad()
def output(system, x, asked=None):
    """F of x (B, C, *axes), of what a person asks of all of them."""
    conditioner, n = system.conditioner, len(x)
    cond = conditioner(conditioner.parse([asked] * n)) if conditioner.keys else conditioner.null(n)
    return system.network(x, torch.linspace(-1, 1, n), **cond)


def noise(channels=1, axes=(6, 6)):
    return torch.randn(3, channels, *axes, generator=torch.Generator().manual_seed(9))


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_model_is_taken_over_whole_at_any_size(layout):
    source = model(layout)
    system, made = started(source, layout=layout, axes=(9, 5))
    assert not made.part and not made.new and not made.left and len(made.whole) == len(source.network.state_dict())
    for name, tensor in system.network.state_dict().items():
        assert tensor.equal(source.network.state_dict()[name])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_classes_are_matched_by_name_and_new_ones_start_as_the_null_class(layout):
    source, x = model(layout), noise()
    system, made = started(source, layout=layout, conditioner=Labels(("bird", "dog", "cat")))
    assert list(made.part) == ["conditions.label.weight"] and not made.new
    assert "2 of 3 classes by name (dog, cat)" in made.part["conditions.label.weight"]
    for name in ("cat", "dog", None):
        same(output(system, x, name), output(source, x, name))
    same(output(system, x, "bird"), output(source, x, None))
    assert (output(system, x, "dog") - output(system, x, "cat")).abs().max() > 0.01  # the comparison sees classes


def test_a_null_class_that_was_never_trained_is_not_taken_over():
    source = model(conditioner=Labels(("cat", "dog"), dropout=0.0))
    system, made = started(source, conditioner=Labels(("cat", "dog", "bird")))
    table = system.network.conditions.label.weight
    mean = source.network.conditions.label.weight[:2].mean(0)
    assert table[2].equal(mean) and table[3].equal(mean) and "the mean of all classes" in str(made.part)
    again, _ = started(source, conditioner=PETS)
    assert again.network.conditions.label.weight[2].equal(mean)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ours", [PETS, HUE, Joint((PETS, HUE)), Augmented(PETS, ("mirror", "turn"))], ids=repr)
def test_conditions_that_are_new_are_not_heard_at_first(layout, ours):
    source, x = model(layout, Unconditional()), noise()
    system, made = started(source, layout=layout, conditioner=ours)
    assert made.new and not made.part
    told = ours(ours.parse(["cat" if "label" in ours.keys else "hue=0.7"] * 3) | {"augmentation": torch.ones(3, 2)})
    same(system.network(x, torch.linspace(-1, 1, 3), **told), output(source, x))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("theirs", [PETS, HUE, Joint((PETS, HUE))], ids=repr)
def test_conditions_that_are_gone_are_as_if_nothing_was_known(layout, theirs):
    source, x = model(layout, theirs), noise()
    system, made = started(source, layout=layout, conditioner=Unconditional())
    assert list(made.part) == ["conditions.noise.2.bias"]
    assert all(name.startswith(("conditions.label", "conditions.scalars")) for name in made.left) and made.left
    same(output(system, x), output(source, x, None))


def test_numbers_mean_what_they_meant_whatever_their_order_mean_and_spread():
    source, x = model(conditioner=HUE), noise()
    ours = Scalars(("age", "size", "hue"), (4.0, 7.0, -0.5), (1.0, 5.0, 0.125))
    system, made = started(source, conditioner=ours)
    assert "new ones start unheard (age)" in made.part["conditions.scalars.0.weight"]
    for asked in ("hue=0.9, size=13", "hue=0.1", "size=6", None):
        same(output(system, x, asked), output(source, x, asked))
    same(output(system, x, "age=9, size=6"), output(source, x, "size=6"))
    told = Augmented(HUE, ("mirror",))
    system, _ = started(source, conditioner=told)
    again, made = started(system, conditioner=Augmented(Scalars(("hue",), (0.5,), (0.25,)), ("turn", "mirror")))
    same(output(again, x, "hue=0.9"), output(source, x, "hue=0.9"))
    assert "left behind: size" in str(made.part) and "unheard (turn)" in str(made.part)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_channels_that_say_the_same_are_heard_and_made_as_one(layout):
    grey, x = model(layout), noise()
    colour, made = started(grey, layout=layout, channels=3)
    assert sum("1 channel in to 3" in how for how in made.part.values()) == 1 and not made.new
    same(output(colour, x.expand(-1, 3, -1, -1), "cat"), output(grey, x, "cat").expand(-1, 3, -1, -1))
    colour = model(layout, channels=3)
    grey, made = started(colour, layout=layout, channels=1)
    same(output(grey, x, "dog"), output(colour, x.expand(-1, 3, -1, -1), "dog").mean(1, keepdim=True))


def test_of_other_numbers_of_channels_the_first_are_the_same():
    three = model(channels=3)
    four, made = started(three, channels=4)
    x = noise(4)
    same(output(four, x)[:, :3], output(three, x[:, :3]))
    assert not output(four, x)[:, 3].any()
    assert started(three, channels=2)[0].network.stem.weight.equal(three.network.stem.weight[:, :2])


def test_another_network_takes_what_fits_and_says_the_rest():
    source = model()
    system, made = started(source, levels=(8, 24))
    assert made.whole and made.new and set(made.new.values()) == {"at random"}
    names = [*made.whole, *made.part, *made.new]
    assert sorted(names) == sorted(system.network.state_dict())
    fresh = model(shaken=False, levels=(8, 24)).network.state_dict()
    assert all(made.tensors[name].shape == fresh[name].shape for name in names)
    with pytest.raises(ReverieError, match="of a DiT, and this network is a UNet"):
        transfer(model("dit"), source)
    with pytest.raises(ReverieError, match="2 axes after the channels, and these have 1"):
        transfer(source, model(axes=(6,)))


def test_frozen_parts_are_named_like_files():
    network = model().network
    frozen = lambda patterns: freeze(model().network, patterns)
    down = [name for name, _ in network.named_parameters() if name.startswith("down.")]
    assert frozen("down.*") == frozen("down") == frozen(" down , ") == down
    assert frozen("down.[0]*,stem") == [n for n, _ in network.named_parameters() if n.startswith(("down.0", "stem"))]
    assert frozen("*.norm_?") == [name for name, _ in network.named_parameters() if ".norm_" in name]
    assert frozen("") == [] and frozen("stem.weight") == ["stem.weight"]
    for patterns, says in (("dwn.*", "nearest are down"), ("down, midle", "middle"), ("*", "nothing to train")):
        with pytest.raises(ReverieError, match=says):
            frozen(patterns)
    freeze(network, "down")
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == down


def test_a_frozen_parameter_is_no_part_of_an_average_and_what_moves_is_all_of_it():
    from reverie.training.averages import Average, Power

    network = torch.nn.Linear(2, 2)
    with torch.no_grad():
        network.bias.copy_(torch.tensor([-0.0, math.pi]))
    network.bias.requires_grad_(False)
    average = Average(network, Power(0.1))
    for seen in (1, 2, 5):
        average.update(network, seen - 1, seen)
    assert average.tensors.keys() == {"weight"}
    torch.testing.assert_close(average.tensors["weight"], network.weight.detach())
