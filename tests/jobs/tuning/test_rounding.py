"""What is put around layers while they train: patterns that stay, grids of few bits, and which layers have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from jobs.data.preprocess import ImagePixels, WordPieces
from jobs.models.model import ModelSpec, build
from jobs.tuning.fake_quantization import made_aware, rounded, untrained, watch
from jobs.tuning.keeping import Pattern, wrappers_of
from tests.rig import TINY

pytestmark = pytest.mark.training

KERNEL = np.array([[0.0, 2.0, 2.0], [-1.0, 2.0, -1.0]], np.float32)
NOTHING = (False, None)


def test_weights_that_share_a_value_learn_as_one_and_zeros_do_not_learn() -> None:
    pattern = Pattern.of(KERNEL, zeros=True, clusters=3)
    kernel = tf.Variable(KERNEL)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(pattern.tensor(kernel) * tf.constant([[9.0, 1.0, 2.0], [4.0, 3.0, 6.0]]))
    assert tape.gradient(loss, kernel).numpy().tolist() == [[0.0, 2.0, 2.0], [5.0, 2.0, 5.0]]  # means of each value's


def test_what_is_kept_is_the_same_of_tensors_and_of_arrays() -> None:
    moved = KERNEL + np.array([[0.5, 0.0, 0.3], [0.0, 0.6, 1.0]], np.float32)
    pattern = Pattern.of(KERNEL, zeros=True, clusters=3)
    wanted = [[0.0, 2.3, 2.3], [-0.5, 2.3, -0.5]]
    np.testing.assert_allclose(pattern.array(moved), wanted, rtol=1e-6)
    np.testing.assert_allclose(pattern.tensor(tf.constant(moved)).numpy(), wanted, rtol=1e-6)


def test_a_kernel_of_more_values_keeps_its_zeros_alone() -> None:
    pattern = Pattern.of(KERNEL, zeros=True, clusters=2)
    assert pattern.array(KERNEL + 1).tolist() == [[0.0, 3.0, 3.0], [0.0, 3.0, 0.0]]
    assert not Pattern.of(KERNEL, zeros=False, clusters=None).keeps


@pytest.mark.parametrize("shape", [(5, 8, 6), (3, 3, 8, 6), (40, 6)])
@pytest.mark.parametrize("per_channel", [True, False])
def test_rounded_kernels_lie_on_a_grid_that_has_zero(shape: tuple[int, ...], per_channel: bool) -> None:
    kernel = np.random.default_rng(3).normal(size=shape).astype(np.float32) * np.arange(1, 7, dtype=np.float32)
    found = rounded(tf.constant(kernel), 4, per_channel).numpy()
    axes = tuple(range(len(shape) - 1)) if per_channel else None
    scale = np.abs(kernel).max(axis=axes, keepdims=True) / 7
    assert np.abs(found / scale - np.round(found / scale)).max() < 1e-4
    assert np.abs(found - kernel).max() <= scale.max() * 0.501


def test_outputs_are_rounded_where_the_file_stores_them() -> None:
    pixels = ImagePixels(height=8, width=8, channels=1)
    model = build(ModelSpec.model_validate({"backbone": TINY}), pixels, 3)
    aware = made_aware(model, 8, per_channel=True, activations=True, keeps=NOTHING)
    outputs = {wrapper.layer.name for wrapper in wrappers_of(aware) if wrapper._output_quantizers}
    assert {"stem_relu", "stage1_block1_relu", "stage1_block1_conv2_norm", "pool", "logits"} <= outputs
    assert not outputs & {"stem", "stem_norm", "stage1_block1_conv1", "stage1_block1_add"}, "one operator with the ReLU"
    rows = np.random.default_rng(3).integers(0, 256, (100, 8, 8, 1)).astype(np.float32)
    watch(aware, rows)
    wanted = model(rows, training=False).numpy()
    assert np.abs(aware(rows, training=False).numpy() - wanted).max() < 0.1 * np.abs(wanted).max()
    assert list(untrained(model)) == []


def test_layers_without_a_scheme_are_named() -> None:
    fields = {"kind": "bert", "layers": 1, "width": 8, "heads": 2, "feed_forward": 8, "vocabulary": 100, "length": 6}
    tokens = WordPieces(vocabulary=100, length=6, tokenizer="tokenizer.json")
    model: Any = build(ModelSpec.model_validate({"backbone": fields}), tokens, 3)
    kinds = {kind for _, kind in untrained(model)}
    assert {"Embedding", "LayerNorm", "AttentionShares", "AttentionValues"} <= kinds
    assert not kinds & {"Dense", "Add", "Padding", "Dropout"}
