"""Rebuilds a functional Keras model layer by layer inside another, and the layers that stand for preprocessing.

The pattern's own layers draw initial weights and dropout from the state of the process, and carry names that Keras
counts up; the layers made here are seeded and named as all of ours are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from jobs.models.layers import NORM_MOMENTUM, Named

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of pixels from 0 to 1; RGB
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@keras.utils.register_keras_serializable("espalier")
class ReverseChannels(keras.layers.Layer):  # type: ignore[misc]
    """Turns RGB into BGR."""

    def call(self, inputs: Any) -> Any:
        """Reverse the last axis."""
        return tf.reverse(inputs, [-1])


@keras.utils.register_keras_serializable("espalier")
class Standardize(keras.layers.Layer):  # type: ignore[misc]
    """`(inputs * scale - mean) / sqrt(variance)` per channel; the statistics are weights that are not trained.

    They start as ImageNet's. (Keras's Normalization works on a copy of its weights, made when it is built.)
    """

    def __init__(self, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale

    def build(self, shape: Any) -> None:
        """Make the statistics."""
        mean = keras.initializers.Constant(IMAGENET_MEAN)
        variance = keras.initializers.Constant([d * d for d in IMAGENET_DEVIATION])
        self.mean = self.add_weight(name="mean", shape=[3], initializer=mean, trainable=False)
        self.variance = self.add_weight(name="variance", shape=[3], initializer=variance, trainable=False)
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        """Standardize; one multiplication and one subtraction, so that quantization rounds as little as may be."""
        factor = tf.math.rsqrt(self.variance)
        return inputs * (factor * self.scale) - self.mean * factor

    def get_config(self) -> dict[str, Any]:
        """Return the fields the layer is rebuilt from."""
        return {**super().get_config(), "scale": self.scale}


class Rebuilding(Named):
    """Makes layers after a pattern, named and seeded as ours."""

    def coloured(self, x: Any) -> Any:
        """Return images of one channel as three equal ones."""
        return x if x.shape[-1] == 3 else keras.layers.Concatenate(name="coloured")([x, x, x])

    def centred_bgr(self, x: Any) -> Any:
        """Return `x` (RGB, 0…255) as BGR with ImageNet's mean subtracted, as the Caffe models took it."""
        x = ReverseChannels(name="bgr")(x)
        return keras.layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68], name="centre")(x)

    def standardize(self, name: str) -> Any:
        """Return the layer that brings 0…255 to ImageNet's mean and deviation."""
        return Standardize(1 / 255, name=name)

    def inline(self, pattern: Any, x: Any, rebuilt: Callable[[Any, str], Any]) -> Any:
        """Call `rebuilt(layer, name)` of every layer of `pattern` in its order, on `x`, and return the last output.

        Every layer of `pattern` is called once, and it has one input and one output.
        """
        made = {id(pattern.input): x}
        for position, layer in enumerate(pattern.layers):
            if isinstance(layer, keras.layers.InputLayer):
                continue
            taken = tf.nest.map_structure(lambda tensor: made[id(tensor)], layer.input)
            new = rebuilt(layer, _stable(layer, position))
            made[id(layer.output)] = taken if new is None else new(taken)
        return made[id(pattern.output)]

    def rebuild(self, layer: Any, name: str) -> Any:
        """Return a layer with the fields of `layer`: seeded, called `name`, with our momentum of normalisation."""
        config = {**layer.get_config(), "name": name}
        config.pop("dtype")  # the policy in force where it is built
        for field in ("kernel_initializer", "depthwise_initializer"):
            if field in config:
                initializer = getattr(layer, field)
                seeded = {**initializer.get_config(), "seed": None}
                config[field] = self.initializer(_from(type(initializer), seeded), name)
        if isinstance(layer, keras.layers.BatchNormalization):
            config["momentum"] = NORM_MOMENTUM
        return type(layer).from_config(config)


def _from(kind: Any, config: dict[str, Any]) -> Callable[..., Any]:
    return lambda seed: kind.from_config({**config, "seed": seed})


def _stable(layer: Any, position: int) -> str:
    """Return the layer's name, or one by its position where Keras counted the name up."""
    name: str = layer.name
    return f"{type(layer).__name__.lower()}_at{position}" if re.fullmatch(r"max_pooling2d(_\d+)?", name) else name
