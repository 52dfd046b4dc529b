"""What joins the features of two backbones in one Keras model: layers named `joint_…`, which learn with the head."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from jobs.models.layers import Named, key_for


@keras.utils.register_keras_serializable("espalier")
class ModalityDropout(keras.layers.Layer):  # type: ignore[misc]
    """Takes all of one modality's features from a `rate` share of the rows, in training (after Neverova et al., 2016).

    No row loses both. What is kept is not scaled: a row with both looks as it does at inference. The draws are keyed
    as those of Dropout.
    """

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Return features `[image[rows, width], text[rows, width]]`, zeros where a row lost them."""
        image, text = inputs
        key = key_for(self.name) if training and self.rate else None
        if key is None:
            return [tf.identity(image), tf.identity(text)]
        drawn = tf.random.stateless_uniform([tf.shape(image)[0], 1], key)
        return [
            tf.where(drawn < self.rate / 2, tf.zeros_like(image), image),
            tf.where((drawn >= self.rate / 2) & (drawn < self.rate), tf.zeros_like(text), text),
        ]

    def get_config(self) -> dict[str, Any]:
        """Return the fields the layer is rebuilt from."""
        return {**super().get_config(), "rate": self.rate}


def prefixed(prefix: str, inputs: Any, features: Any) -> Any:
    """Return `features` (Keras tensors built on `inputs`) built again of layers whose names begin with `prefix`.

    Two backbones may name their layers alike. A layer's seeded initial weights and its draws' keys are its own.
    """

    def renamed(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})

    return keras.models.clone_model(keras.Model(inputs, features), inputs, renamed).output


def concatenated(image: Any, text: Any, width: int | None, seed: int) -> Any:
    """Put features `[rows, …]` side by side; a `width` adds a layer of so many ReLUs."""
    both = keras.layers.Concatenate(name="joint_both")([image, text])
    return both if width is None else _dense(width, "joint_hidden", "relu", seed, bias=True)(both)


def gated(image: Any, text: Any, width: int, seed: int) -> Any:
    """Mix features `[rows, …]` by the gated multimodal unit (Arevalo et al., 2017, section 3.2): `[rows, width]`."""
    from_image = _dense(width, "joint_image", "tanh", seed)(image)
    from_text = _dense(width, "joint_text", "tanh", seed)(text)
    gate = _dense(width, "joint_gate", "sigmoid", seed)(keras.layers.Concatenate(name="joint_both")([image, text]))
    difference = keras.layers.Subtract(name="joint_difference")([from_image, from_text])
    opened = keras.layers.Multiply(name="joint_gated")([gate, difference])
    return keras.layers.Add(name="joint_mixed")([from_text, opened])  # z * image + (1 - z) * text


def _dense(width: int, name: str, activation: str, seed: int, bias: bool = False) -> Any:
    start = Named(seed).initializer(keras.initializers.GlorotUniform, name)
    return keras.layers.Dense(width, activation, use_bias=bias, kernel_initializer=start, name=name)
