"""Weights that layouts share: each layout answers as a model of its own with its part of them would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from jobs.data.preprocess import ImagePixels
from jobs.models.architecture.elastic import Elastic
from jobs.models.model import ModelSpec, build, load_weights
from jobs.searching.shrinking import phases

pytestmark = pytest.mark.training

TO = ImagePixels(height=7, width=8, channels=1)
LAYOUTS: list[dict[str, Any]] = [
    {"depth": depth, "width": width, "kernel": kernel, "block": block}
    for block in ("basic", "bottleneck", "separable")
    for depth in (8, 14)
    for width in (4, 6)
    for kernel in (3, 5)
]


def specs(layouts: list[dict[str, Any]]) -> list[ModelSpec]:
    return [ModelSpec.model_validate({"backbone": {"kind": "resnet"} | fields}) for fields in layouts]


def shared(layouts: list[dict[str, Any]]) -> Elastic:
    made = Elastic(specs(layouts), TO, (7, 8, 1), 5, 3, Path())
    random = np.random.default_rng(1)
    for variable in made.weights:  # as after a training: no two channels alike, no shift of 0
        variable.assign_add(random.normal(0, 0.1, variable.shape).astype(np.float32))
    return made


def rows(count: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, 7, 8, 1)).astype(np.float32)


@pytest.mark.parametrize("candidate", [0, 3, 5, 9, 14, 17, 20, 23])
def test_a_layout_answers_as_a_model_of_its_own(candidate: int) -> None:
    elastic = shared(LAYOUTS)
    own = build(specs(LAYOUTS)[candidate], TO, 5)
    statistics = elastic.calibrated(rows(64), candidate)
    load_weights(own, elastic.weights_for(candidate, statistics), "shared")
    found = elastic.answers(rows(9), candidate, statistics)
    np.testing.assert_allclose(found, own(rows(9), training=False), rtol=1e-3, atol=1e-4)
    traced = tf.function(lambda x, which: elastic.logits(x, which, training=False))
    in_training = own(rows(9), training=True)
    np.testing.assert_allclose(traced(rows(9), tf.constant(candidate)), in_training, rtol=1e-3, atol=1e-4)


def test_gradients_reach_the_part_a_layout_has_and_no_other() -> None:
    elastic = shared(LAYOUTS)
    smallest = LAYOUTS.index({"depth": 8, "width": 4, "kernel": 3, "block": "basic"})
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(elastic.logits(rows(9), tf.constant(smallest), training=True) ** 2)
    kernel = elastic.named["stage2_block1_conv2/kernel"]
    gone = elastic.named["stage2_block2_conv1/kernel"]
    gradients = tape.gradient(loss, [kernel, gone])
    mine = np.zeros(kernel.shape, bool)
    mine[1:4, 1:4, :8, :8] = True
    assert np.array_equal(gradients[0].numpy() != 0, mine)
    assert gradients[1] is None or not gradients[1].numpy().any()


def test_smaller_kernels_depths_and_widths_are_let_in_in_turn() -> None:
    found = phases(specs(LAYOUTS))
    assert [len(phase) for phase in found] == [3, 6, 12, 24]
    first = [LAYOUTS[i] for i in found[0]]
    assert [fields["block"] for fields in first] == ["basic", "bottleneck", "separable"]
    assert all((fields["depth"], fields["width"], fields["kernel"]) == (14, 6, 5) for fields in first)
    assert {LAYOUTS[i]["kernel"] for i in found[1]} == {3, 5}
    assert {LAYOUTS[i]["width"] for i in found[2]} == {6}
    assert len(phases(specs([{"width": width} for width in (4, 8)]))) == 2
