"""Dropout in its three shapes: what is dropped together, what is kept, and that nothing but the key decides."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from jobs.models.layers import Dropout, SpatialDropout, StochasticDepth, draws

pytestmark = pytest.mark.training

KINDS = {"value": Dropout, "channel": SpatialDropout, "row": StochasticDepth}


def dropped(layer: Any, train_step: int = 0, replica: int = 0, seed: int = 0) -> Any:
    with draws(tf.constant(train_step, tf.int64), tf.constant(replica), seed):
        return layer(tf.ones([64, 5, 7, 16]), training=True).numpy()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_mean_is_kept_and_the_key_alone_decides(kind: str) -> None:
    layer = KINDS[kind](0.25, name="layer")
    out = dropped(layer, 3)
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.75)}
    assert out.mean() == pytest.approx(1, abs=0.2)
    np.testing.assert_array_equal(out, dropped(layer, 3))
    for other in (dropped(layer, 4), dropped(layer, 3, replica=1), dropped(layer, 3, seed=1)):
        assert not np.array_equal(out, other)
    assert not np.array_equal(out, dropped(KINDS[kind](0.25, name="other"), 3))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_nothing_is_dropped_outside_of_training(kind: str) -> None:
    layer = KINDS[kind](0.9, name="layer")
    assert (layer(tf.ones([4, 2, 2, 3]), training=False).numpy() == 1).all()
    assert (layer(tf.ones([4, 2, 2, 3]), training=True).numpy() == 1).all(), "no key: nobody is training"


def test_channels_and_rows_are_dropped_whole() -> None:
    channels = dropped(SpatialDropout(0.5, name="layer"))
    assert (channels == channels[:, :1, :1, :]).all()
    assert len(np.unique(channels[:, 0, 0, :], axis=0)) > 1
    rows = dropped(StochasticDepth(0.5, name="layer"))
    assert (rows == rows[:, :1, :1, :1]).all()
    assert len(np.unique(rows[:, 0, 0, 0])) == 2


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_layer_is_rebuilt_from_its_config_and_keeps_the_type(kind: str) -> None:
    layer = KINDS[kind](0.25, name="layer", dtype="mixed_float16")
    again = type(layer).from_config(layer.get_config())
    assert (again.rate, again.name) == (0.25, "layer")
    with draws(tf.constant(0, tf.int64), tf.constant(0), 0):
        assert again(tf.ones([4, 2, 2, 3], tf.float16), training=True).dtype == tf.float16
