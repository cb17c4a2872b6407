"""Label agreement is a share, with the error of a share."""

import pytest
import torch

from reverie.errors import ReverieError
from reverie.metrics import Population
from reverie.metrics.agreement import Agreement

NOBODY = Population()


def test_it_is_the_share_of_samples_that_are_what_was_asked():
    asked = torch.tensor([0, 1, 2, 3] * 25)
    predicted = torch.where(torch.arange(100) < 80, asked, (asked + 1) % 4)
    figures = Agreement().measure(Population(asked=asked, predicted=predicted), NOBODY)
    assert figures == {"agreement": pytest.approx(0.8), "agreement_error": pytest.approx(0.04)}


def test_few_samples_are_said_to_be_few_and_no_reference_is_missed():
    labels = torch.zeros(20, dtype=torch.long)
    warnings = Agreement().warnings(Population(asked=labels, predicted=labels), NOBODY)
    assert len(warnings) == 1 and "20 samples are few" in warnings[0]


def test_labels_that_nobody_asked_for_are_an_error():
    with pytest.raises(ReverieError, match="asked"):
        Agreement().measure(Population(predicted=torch.zeros(3)), NOBODY)
