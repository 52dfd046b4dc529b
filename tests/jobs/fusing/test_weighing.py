"""Weights of members are those under which labels are most likely, as a search by hand finds them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.fusing.methods.ensembling import counting
from jobs.fusing.weighing import logit_weights, mixture_weights
from jobs.runtime.runner import softmax

ROWS = 400


def members(*sharpness: float) -> tuple[Any, Any]:
    """Return logits of members that know the label the better the sharper they are, and the labels."""
    stream = np.random.default_rng(0)
    labels = stream.integers(0, 4, ROWS)
    right = np.eye(4)[labels]
    return np.stack([right * each + stream.normal(size=(ROWS, 4)) for each in sharpness]).astype(np.float32), labels


def loss_of_mixture(weight: float, logits: Any, labels: Any) -> float:
    likely = weight * softmax(logits[0]) + (1 - weight) * softmax(logits[1])
    return float(-np.log(likely[np.arange(ROWS), labels]).mean())


def loss_of_logits(weight: float, logits: Any, labels: Any) -> float:
    likely = softmax(weight * logits[0] + (1 - weight) * logits[1])
    return float(-np.log(likely[np.arange(ROWS), labels]).mean())


@pytest.mark.parametrize(
    ("learn", "loss"), [(mixture_weights, loss_of_mixture), (logit_weights, loss_of_logits)], ids=["mixture", "logits"]
)
@pytest.mark.parametrize("sharpness", [(2.0, 1.5), (1.0, 1.0), (3.0, 0.0)])
def test_weights_are_the_best_there_are(learn: Any, loss: Any, sharpness: tuple[float, float]) -> None:
    logits, labels = members(*sharpness)
    weights = learn(logits, labels)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    best = min(np.linspace(0, 1, 1_001), key=lambda weight: loss(weight, logits, labels))
    assert weights[0] == pytest.approx(best, abs=0.01)


@pytest.mark.parametrize("learn", [mixture_weights, logit_weights])
def test_a_member_that_knows_nothing_counts_for_little_and_twins_count_alike(learn: Any) -> None:
    logits, labels = members(2.0, 2.0, 0.0)
    logits[1] = logits[0]
    weights = learn(logits, labels)
    assert weights[0] == pytest.approx(weights[1], abs=1e-6)
    assert weights[2] < 0.25


def test_members_next_to_nothing_are_left_out() -> None:
    assert counting([0.5, 0.496, 0.004]) == pytest.approx([0.5 / 0.996, 0.496 / 0.996, 0.0])
