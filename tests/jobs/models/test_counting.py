"""What is counted of an architecture is what the layers that are built of it hold and multiply."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tf_keras as keras

from jobs.data.preprocess import ImagePixels, Preprocess, WordPieces
from jobs.models.architecture.counting import costs
from jobs.models.model import ModelSpec, build, weights_of

pytestmark = pytest.mark.training

TEXT = WordPieces(vocabulary=200, length=12)


def multiplied(model: Any) -> int:
    """Return the multiplications with weights for one row, by the shapes Keras gives."""
    total = 0
    for layer in model.layers:
        places = math.prod(layer.output_shape[1:-1]) if isinstance(layer.output_shape, tuple) else 1
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            total += places * math.prod(layer.depthwise_kernel.shape)
        elif isinstance(layer, keras.layers.Conv1D | keras.layers.Conv2D | keras.layers.Dense):
            total += places * math.prod(layer.kernel.shape)
    return total


@pytest.mark.parametrize(
    ("backbone", "to"),
    [
        ({"kind": "resnet", "depth": 14, "width": 6}, ImagePixels(height=9, width=8, channels=3)),
        ({"kind": "resnet", "depth": 8, "width": 5, "kernel": 5}, ImagePixels(height=8, width=8, channels=1)),
        ({"kind": "resnet", "depth": 14, "block": "bottleneck"}, ImagePixels(height=7, width=7, channels=1)),
        ({"kind": "resnet", "block": "separable", "kernel": 5}, ImagePixels(height=8, width=8, channels=3)),
        ({"kind": "text_cnn", "vocabulary": 200, "length": 12, "kernels": [3, 2, 3]}, TEXT),
        ({"kind": "embedding_bag", "vocabulary": 200, "length": 12, "width": 6}, TEXT),
        ({"kind": "bert", "vocabulary": 200, "length": 12, "size": "tiny", "feed_forward": 96}, TEXT),
        (
            {"kind": "bert", "vocabulary": 200, "length": 12, "layers": 1, "width": 8, "heads": 2, "pooling": "pooler"},
            TEXT,
        ),
    ],
)
def test_what_is_counted_is_what_is_built(backbone: dict[str, Any], to: Preprocess) -> None:
    spec = ModelSpec.model_validate({"backbone": backbone})
    model = build(spec, to, 7)
    image = (to.height, to.width, to.channels) if isinstance(to, ImagePixels) else None
    held = sum(value.size for value in weights_of(model).values())
    assert costs(spec, image, 7) == {"parameter_bytes": 4 * held, "macs": multiplied(model)}
    assert held == model.count_params()  # no two layers share a name


def test_the_new_fields_leave_the_network_of_before_as_it_was() -> None:
    spec = ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 8, "width": 4}})
    names = [layer.name for layer in build(spec, ImagePixels(height=8, width=8, channels=1), 3).layers]
    assert names[:13] == [
        "image", "rescale", "stem", "stem_norm", "stem_relu", "stage1_block1_conv1", "stage1_block1_conv1_norm",
        "stage1_block1_conv1_relu", "stage1_block1_conv2", "stage1_block1_conv2_norm", "stage1_block1_add",
        "stage1_block1_relu", "stage2_block1_conv1",
    ]  # fmt: skip
