"""Layers with stable names and seeded initial weights, and draws that depend on nothing but their key.

Dropout here is stateless: its mask is keyed by (seed, layer, train_step, replica), which the training loop supplies
while it traces, so a resumed run draws what an unbroken one would have.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tensorflow as tf
import tf_keras as keras

NORM_MOMENTUM = 0.9  # short trainings and fine-tunings end before Keras's 0.99 has forgotten where they began

_KEY: ContextVar[tuple[Any, Any, int] | None] = ContextVar("draw_key", default=None)
_DRAWN: ContextVar[Callable[[Any], Any]] = ContextVar("drawn", default=lambda drawn: drawn)


@contextmanager
def draws(train_step: Any, replica: Any, seed: int) -> Iterator[None]:
    """Key every random draw below by `train_step` (int64 scalar), `replica` (int scalar) and `seed`."""
    token = _KEY.set((train_step, replica, seed))
    try:
        yield
    finally:
        _KEY.reset(token)


@contextmanager
def drawing(drawn: Callable[[Any], Any]) -> Iterator[None]:
    """Pass what is drawn for masks through `drawn`, which places it over devices and changes no value."""
    token = _DRAWN.set(drawn)
    try:
        yield
    finally:
        _DRAWN.reset(token)


def key_for(name: str) -> Any:
    """Return the `int32[2]` seed of the draw called `name` now, or None outside of training."""
    key = _KEY.get()
    if key is None:
        return None
    train_step, replica, seed = key
    own = (zlib.crc32(name.encode()) ^ (seed * 2654435761)) & 0x7FFFFFFF
    place = tf.cast(train_step, tf.int32) * 4096 + tf.cast(replica, tf.int32)
    return tf.stack([tf.constant(own, tf.int32), place])


class Dial:
    """A number that may be turned between two trainings without tracing them again; no part of the model's weights."""

    def __init__(self, value: float) -> None:
        self.variable = tf.Variable(value, trainable=False)

    def turn(self, value: float) -> None:
        """Set it."""
        self.variable.assign(value)


@keras.utils.register_keras_serializable("espalier")
class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout (Srivastava et al., 2014) whose mask is a pure function of seed, name, train_step and replica."""

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate: float | Dial = rate

    def mask_shape(self, inputs: Any) -> Any:
        """Return the shape of the mask, which is broadcast over `inputs`: here one draw a value."""
        return tf.shape(inputs)

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Zero a `rate` share of `inputs` and scale the rest, in training only."""
        key = key_for(self.name) if training and self.rate else None
        if key is None:
            return tf.identity(inputs)
        rate: Any = self.rate.variable.read_value() if isinstance(self.rate, Dial) else self.rate
        kept = _DRAWN.get()(tf.random.stateless_uniform(self.mask_shape(inputs), key)) >= rate
        scale = tf.cast(1 - rate, inputs.dtype)
        return tf.where(kept, inputs / scale, tf.zeros([], inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the fields the layer is rebuilt from."""
        return {**super().get_config(), "rate": self.rate}


@keras.utils.register_keras_serializable("espalier")
class SpatialDropout(Dropout):
    """Dropout of whole channels (Tompson et al., 2015): `[rows, …, channels]`, one draw a row and channel."""

    def mask_shape(self, inputs: Any) -> Any:
        """Return `[rows, 1, …, channels]`."""
        shape = tf.shape(inputs)
        return tf.concat([shape[:1], tf.ones([len(inputs.shape) - 2], tf.int32), shape[-1:]], 0)


@keras.utils.register_keras_serializable("espalier")
class StochasticDepth(Dropout):
    """Dropout of a residual branch (Huang et al., 2016): one draw a row; put it before the shortcut is added."""

    def mask_shape(self, inputs: Any) -> Any:
        """Return `[rows, 1, …]`."""
        return tf.concat([tf.shape(inputs)[:1], tf.ones([len(inputs.shape) - 1], tf.int32)], 0)


class Named:
    """Builds layers with the names given and initial weights seeded by (seed, name)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def initializer(self, kind: Any, name: str) -> Any:
        """Return the Keras initializer class `kind`, seeded for the layer called `name`."""
        return kind(seed=zlib.crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF)

    def rescale(self, x: Any) -> Any:
        """Bring pixel values from 0…255 to -1…1."""
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(x)

    def convolve(self, x: Any, width: int, kernel: int, stride: int, name: str, activate: bool = True) -> Any:
        """Convolution without bias, batch normalisation, and a ReLU unless `activate` is false.

        A pointwise one takes its stride before it, which is the same: oneDNN's gradient of a strided one writes outside
        of its memory (TensorFlow 2.21, CPU, channels that are no multiple of 16, some numbers of rows).
        """
        if kernel == 1 and stride > 1:
            x, stride = keras.layers.MaxPooling2D(1, stride, name=f"{name}_stride")(x), 1
        start = self.initializer(keras.initializers.HeNormal, name)
        convolution = keras.layers.Conv2D(
            width, kernel, stride, padding="same", use_bias=False, kernel_initializer=start, name=name
        )
        return self._normalise(convolution(x), name, activate)

    def depthwise(self, x: Any, kernel: int, stride: int, name: str) -> Any:
        """Convolution of each channel by itself, without bias, batch normalisation and a ReLU."""
        start = self.initializer(keras.initializers.HeNormal, name)
        convolution = keras.layers.DepthwiseConv2D(
            kernel, stride, padding="same", use_bias=False, depthwise_initializer=start, name=name
        )
        return self._normalise(convolution(x), name, True)

    def _normalise(self, x: Any, name: str, activate: bool) -> Any:
        x = keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(x)
        return keras.layers.ReLU(name=f"{name}_relu")(x) if activate else x

    def block(self, x: Any, body: Callable[[Any], Any], name: str) -> Any:
        """Apply `body`, which a smaller model of the same architecture may be without."""
        return body(x)

    def drop_channels(self, x: Any, rate: float, name: str) -> Any:
        """Drop whole channels in training, if `rate` is above 0."""
        return SpatialDropout(rate, name=name)(x) if rate else x

    def leave_out(self, x: Any, rate: float, name: str) -> Any:
        """Leave a residual branch out in training, if `rate` is above 0."""
        return StochasticDepth(rate, name=name)(x) if rate else x

    def join(self, shortcut: Any, x: Any, name: str) -> Any:
        """Add the shortcut and apply a ReLU."""
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def pool(self, x: Any) -> Any:
        """Average over height and width."""
        return keras.layers.GlobalAveragePooling2D(name="pool")(x)
