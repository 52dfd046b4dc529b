"""ResNet for small images: what regularises it acts in training alone, and grows with depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from cluster.folder import Folder
from jobs.data.preprocess import ImagePixels
from jobs.models.model import ModelSpec, build, read_weights, weights_of
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training

TO = ImagePixels(height=8, width=8, channels=1)


def made(**fields: Any) -> Any:
    spec = ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 14, "width": 4, **fields}})
    return build(spec, TO, 3, seed=2)


def test_blocks_are_left_out_more_often_the_deeper_they_lie() -> None:
    rates = {layer.name: layer.rate for layer in made(stochastic_depth=0.6).layers if layer.name.endswith("_depth")}
    assert list(rates) == [f"stage{stage}_block{block}_depth" for stage in (1, 2, 3) for block in (1, 2)]
    assert list(rates.values()) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_regularisation_adds_no_weights_and_changes_no_answer() -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.float32)
    plain, regular = made(), made(stochastic_depth=0.5, spatial_dropout=0.5)
    assert set(weights_of(plain)) == set(weights_of(regular))
    assert np.array_equal(plain(x, training=False).numpy(), regular(x, training=False).numpy())


def test_in_training_whole_channels_and_whole_blocks_are_dropped() -> None:
    import tf_keras as keras

    from jobs.models.layers import draws

    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype(np.float32)
    model = made(stochastic_depth=0.5, spatial_dropout=0.25)
    names = ("stage3_block2_channels", "stage3_block2_depth")
    inner = keras.Model(model.input, [model.get_layer(name).output for name in names])
    with draws(1, 0, 0):
        channels, depth = (y.numpy() for y in inner(x, training=True))
    gone = (depth == 0).all(axis=(1, 2, 3))
    assert 0.3 < gone.mean() < 0.7
    assert (depth != 0).any(axis=(1, 2, 3))[~gone].all()
    assert 0.1 < (channels == 0).all(axis=(1, 2)).mean() < 0.45


def test_a_training_starts_from_a_weights_file(digits: Folder, tmp_path: Path) -> None:
    start = weights_of(build(ModelSpec.model_validate({"backbone": TINY}), TO, 10, seed=9))
    np.savez(tmp_path / "weights.npz", **start)
    spec = ModelSpec.model_validate({"backbone": TINY | {"weights": str(tmp_path / "weights.npz")}})
    out, recipe = Folder.parse(str(tmp_path / "model")), TrainRecipe(epochs=1, learning_rate=1e-7)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(tmp_path / "kept"))
    trained = read_weights((out.path / "weights.npz").read_bytes(), "weights")
    kernels = [name for name in start if name.endswith("/kernel")]
    near = {name: np.allclose(trained[name], start[name], atol=1e-4) for name in kernels}
    assert near == {name: name != "logits/kernel" for name in kernels}  # the head starts afresh


@pytest.mark.parametrize("side", [8, 7])
def test_a_shortcut_takes_its_stride_before_its_convolution_which_is_the_same(side: int) -> None:
    model = build(ModelSpec.model_validate({"backbone": TINY}), ImagePixels(height=side, width=side, channels=1), 3)
    pointwise = [layer for layer in model.layers if getattr(layer, "kernel_size", None) == (1, 1)]
    assert len(pointwise) == 2
    assert {layer.strides for layer in pointwise} == {(1, 1)}  # oneDNN's gradient of a strided one writes elsewhere
    inputs = model.get_layer(f"{pointwise[0].name}_stride").input
    found = keras.Model(model.input, [inputs, pointwise[0].output])
    x, y = found(np.random.default_rng(0).uniform(0, 255, (2, side, side, 1)).astype(np.float32))
    strided = tf.nn.conv2d(x, pointwise[0].kernel, 2, "SAME")
    np.testing.assert_allclose(y, strided, rtol=1e-6, atol=1e-6)
