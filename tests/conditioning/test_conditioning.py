"""What is said of a sample becomes tensors, sample by sample, and nothing is said of some of them in training."""

import math

import pytest
import torch

from reverie import conditioning
from reverie.conditioning import Augmented, Conditioner, Joint, Labels, Scalars, Unconditional, automatic
from reverie.conditioning.augmented import parts
from reverie.core.noise import Seeded
from reverie.data import Dataset
from reverie.discover import construct, describe, variants
from reverie.errors import ReverieError

NAMES = ("cat", "dog", "Ankle boot", "Bag", "Bagel")
ALL = variants(conditioning, Conditioner)
every = pytest.mark.parametrize("conditioner", ALL, ids=repr)


def values(conditioner, n):
    found = {}
    if isinstance(conditioner, Augmented):
        found["augmentation"] = torch.randn(n, len(conditioner.names))
    for part in parts(conditioner):
        if isinstance(part, Labels):
            found["label"] = torch.randint(-1, len(part.classes), (n,))
        if isinstance(part, Scalars):
            scalars = torch.randn(n, len(part.names))
            found["scalars"] = torch.where(torch.rand_like(scalars) < 0.2, math.nan, scalars)
    return found


@every
def test_a_condition_is_a_function_of_the_sample_not_of_its_batch(conditioner):
    given = values(conditioner, 32)
    together = conditioner(given, Seeded(range(32)))
    for name, tensor in together.items():
        assert len(tensor) == 32
        for i in range(32):
            alone = conditioner({k: v[i : i + 1] for k, v in given.items()}, Seeded([i]))
            assert torch.equal(alone[name], tensor[i : i + 1])


@every
def test_without_noise_nothing_is_dropped_and_null_is_what_nothing_known_gives(conditioner):
    given = values(conditioner, 8)
    unknown = {k: torch.full_like(v, -1 if k == "label" else math.nan) for k, v in given.items()}
    null = conditioner.null(8)
    assert conditioner(unknown).keys() == null.keys()
    for name, tensor in conditioner(unknown).items():
        assert torch.equal(tensor, null[name]) and tensor.dtype == null[name].dtype
    if conditioner.has_null:
        assert all(torch.equal(conditioner(conditioner.parse([None] * 8))[name], null[name]) for name in null)


@every
def test_every_conditioner_is_plain_data(conditioner):
    assert construct("conditioner", conditioning, Conditioner, describe(conditioner)) == conditioner


@every
def test_backbones_built_with_the_options_take_the_tensors(conditioner):
    options = conditioner.backbone_options()
    for name, tensor in conditioner.null(3).items():
        assert tensor.shape == (3,) if name == "label" else tensor.shape == (3, options["scalars"])
        assert name != "label" or tensor.max() == options["classes"]


@pytest.mark.parametrize("conditioner", [Labels(NAMES, 0.3), Scalars(("hue",), (0.0,), (1.0,), 0.3)], ids=repr)
def test_dropout_happens_as_often_as_it_says(conditioner):
    given = {"label": torch.zeros(4000, dtype=torch.int64), "scalars": torch.ones(4000, 1)}
    made = next(iter(conditioner(given, Seeded(range(4000))).values()))
    null = next(iter(conditioner.null(4000).values()))
    dropped = (made == null).reshape(4000, -1).all(1).sum().item()
    assert abs(dropped - 1200) < 5 * (4000 * 0.3 * 0.7) ** 0.5


def test_parts_are_dropped_independently():
    joint = Joint((Labels(NAMES, 0.5), Scalars(("hue",), (0.0,), (1.0,), 0.5)))
    given = {"label": torch.zeros(4000, dtype=torch.int64), "scalars": torch.ones(4000, 1)}
    made = joint(given, Seeded(range(4000)))
    pairs = torch.stack([made["label"] == len(NAMES), made["scalars"][:, 1] == 0], 1).long() @ torch.tensor([2, 1])
    assert (pairs.bincount() - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5


def test_what_was_done_to_a_sample_is_said_after_its_numbers_and_never_dropped():
    for inner in (Labels(NAMES, 0.5), Unconditional(), Joint.variants()[0]):
        told, done = Augmented(inner, ("mirror", "turn")), torch.randn(64, 2)
        given = values(inner, 64)
        made = told(given | {"augmentation": done}, Seeded(range(64)))
        alone = inner(given, Seeded(range(64))) if given else {}
        assert made["scalars"][:, -2:].equal(done) and made["scalars"][:, :-2].equal(alone.get("scalars", done[:, :0]))
        assert all(made[name].equal(tensor) for name, tensor in alone.items() if name != "scalars")
        assert not told.null(3)["scalars"][:, -2:].any() and told.keys == inner.keys and told.has_null == inner.has_null
        if given:  # asked for by a person, who knows of no augmentation
            assert not told(given)["scalars"][:, -2:].any()
    assert Augmented(Labels(NAMES), ("mirror",)).classes == NAMES
    assert not hasattr(Augmented(Unconditional(), ("mirror",)), "classes")
    for names in ((), ("mirror", "mirror")):
        with pytest.raises(ValueError, match="names that differ"):
            Augmented(Unconditional(), names)
    with pytest.raises(ValueError, match="once"):
        Augmented(Augmented(Unconditional(), ("mirror",)), ("turn",))


def test_no_dropout_means_no_null():
    assert not Labels(NAMES, 0.0).has_null and Labels(NAMES).has_null and not Unconditional().has_null
    assert not Joint((Labels(NAMES), Scalars(("hue",), (0.0,), (1.0,), 0.0))).has_null
    given = {"label": torch.arange(5)}
    assert torch.equal(Labels(NAMES, 0.0)(given, Seeded(range(5)))["label"], given["label"])
    with pytest.raises(ReverieError, match="never trained without a class"):
        Labels(NAMES, 0.0).parse(None)
    with pytest.raises(ReverieError, match="never trained without its scalars"):
        Scalars(("hue",), (0.0,), (1.0,), 0.0).parse([None])


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ("cat", 0),
        ("CAT", 0),
        ("ankle", 2),
        ("Bag", 3),
        ("bag", 3),
        ("bage", 4),
        (3, 3),
        ("4", 4),
        (None, -1),
        (" dog ", 1),
    ],
)
def test_a_class_is_asked_for_by_name_start_or_index(asked, index):
    assert Labels(NAMES).parse(asked)["label"].tolist() == [index]
    assert Labels(NAMES).parse([asked, "cat"])["label"].tolist() == [index, 0]
    assert Labels(NAMES).parse({"label": asked})["label"].tolist() == [index]


def test_a_name_that_is_a_number_wins_over_an_index():
    assert Labels(("7", "0")).parse(["7", "0", 0, "1"])["label"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("asked", ["mouse", "ba", "5", -1, 5, "", "²", 1.5])
def test_a_class_nobody_knows_is_refused(asked):
    with pytest.raises(ReverieError, match=r"unknown class .* Known: Ankle boot, Bag"):
        Labels(NAMES).parse(asked)


def test_scalars_are_standardised_where_known():
    conditioner = Scalars.fit(
        ("a", "b", "c"), torch.tensor([[1.0, 5, math.nan], [3, 5, math.nan], [math.nan, 5, math.nan]])
    )
    assert (conditioner.mean, conditioner.std) == ((2.0, 5.0, 0.0), (1.0, 1.0, 1.0))
    made = conditioner({"scalars": torch.tensor([[3.0, math.nan, 0.5]])})["scalars"]
    assert made.tolist() == [[1, 0, 0.5, 1, 0, 1]] and made.dtype == torch.float32
    assert conditioner.null(2)["scalars"].tolist() == [[0] * 6] * 2


def test_scalars_are_asked_for_by_name():
    conditioner = Scalars(("hue", "size"), (0.0, 0.0), (1.0, 1.0))
    asked = [" hue=0.5 , size = 2", {"size": 2, "hue": 0.5}, "size=2", None]
    rows = conditioner.parse(asked)["scalars"]
    assert rows[:2].tolist() == [[0.5, 2]] * 2 and rows[2, 1] == 2 and rows.isnan().sum() == 3
    assert Scalars(("hue",), (0.0,), (1.0,)).parse([0.25, "0.5"])["scalars"].tolist() == [[0.25], [0.5]]
    for wrong, reason in [
        ("hu=1", "Did you mean 'hue'"),
        ("hue=x", "must be a number"),
        ("hue=nan", "finite"),
        ("0.5", "hue=0.5"),
    ]:
        with pytest.raises(ReverieError, match=reason):
            conditioner.parse(wrong)


def test_a_joint_condition_reads_names_and_what_has_none_is_the_first_part():
    joint = Joint((Labels(NAMES), Scalars(("hue", "size"), (0.0, 0.0), (1.0, 1.0))))
    for asked in ["dog, hue=0.5", "hue = 0.5,label=dog", {"label": "dog", "hue": 0.5}]:
        found = joint.parse([asked])
        assert found["label"].tolist() == [1] and found["scalars"][0, 0] == 0.5 and found["scalars"][0, 1].isnan()
    assert joint.parse(["size=1", "cat"])["label"].tolist() == [-1, 0]
    assert joint.backbone_options() == {"classes": 5, "scalars": 4}
    for wrong, reason in [
        ("hew=1", "unknown condition 'hew'.*'hue'"),
        ("cat, dog", "said twice"),
        ("mouse", "unknown class"),
    ]:
        with pytest.raises(ReverieError, match=reason):
            joint.parse(wrong)


def test_nothing_can_be_asked_of_a_model_without_conditions():
    assert Unconditional().parse([None, None]) == {} == Unconditional()({}, None) == Unconditional().null(3)
    with pytest.raises(ReverieError, match="takes no condition; leave out 'cat'"):
        Unconditional().parse("cat")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Labels(()),
        lambda: Labels(NAMES, 1.0),
        lambda: Scalars(("a",), (0.0,), (0.0,)),
        lambda: Scalars(("a", "a"), (0.0, 0.0), (1.0, 1.0)),
        lambda: Scalars(("a",), (math.nan,), (1.0,)),
        lambda: Joint(()),
        lambda: Joint((Labels(NAMES), Labels(NAMES))),
    ],
)
def test_conditioners_that_make_no_sense_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_a_data_set_says_which_conditioner_it_needs():
    raw, label, scalars = torch.zeros(4, 1, 2), torch.tensor([0, 1, 1, 0]), torch.tensor([[0.0], [2.0], [0.0], [2.0]])
    labelled = {"values": {"label": label}, "classes": ("a", "b")}
    numbered = {"values": {"scalars": scalars}, "scalar_names": ("hue",)}
    both = {**labelled, **numbered, "values": {"label": label, "scalars": scalars}}
    labels, hue = Labels(("a", "b"), 0.2), Scalars(("hue",), (1.0,), (1.0,), 0.2)
    expected = [({}, Unconditional()), (labelled, labels), (numbered, hue), (both, Joint((labels, hue)))]
    for known, conditioner in expected:
        assert automatic(Dataset("some", raw, **known), dropout=0.2) == conditioner
