"""Training with rounded weights and activations, so that a file of few bits loses less (Jacob et al., 2018).

TFMOT's wrappers surround the layers; what they put around them is ours. Kernels are rounded as the converter rounds
them: symmetrically, a scale for each output channel. Ranges of activations are those of calibration rows, and stay:
TFMOT's moving averages need thousands of train steps to come from where they begin. The weights that come out are
plain ones; the file is quantized from them and calibrated anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import Quantizer

from jobs.runtime.inputs import count, each
from jobs.tuning.keeping import Keep, Pattern, Surroundings, kernels_of, surrounded, wrappers_of

L = keras.layers
ROUNDED = (L.Conv1D, L.Conv2D, L.DepthwiseConv2D, L.Dense)  # whose kernels the converter stores in integers
MADE = (
    *ROUNDED, L.BatchNormalization, L.ReLU, L.Activation, L.Add, L.Concatenate, L.GlobalAveragePooling1D,
    L.GlobalAveragePooling2D,
)  # fmt: skip
FOLDED = (L.BatchNormalization, L.ReLU)  # the converter makes one operator of these and what stands before them
PASSING = ("Dropout", "SpatialDropout", "StochasticDepth", "ModalityDropout", "Positions", "Padding", "FirstToken")
BATCH = 64
TINY = 1e-8  # a channel of zeros has some scale, too


class Round(Quantizer):  # type: ignore[misc]
    """Rounds an output to 8 bits in the range that was seen while `watching`."""

    def __init__(self) -> None:
        self.watching = False

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the range, which is no part of the model's own weights."""
        return {
            end: layer.add_weight(f"{name}_{end}", shape=[], dtype=tf.float32, initializer="zeros", trainable=False)
            for end in ("least", "most")
        }

    def __call__(self, inputs: Any, training: Any, weights: Any, **options: Any) -> Any:
        """Return `inputs` rounded."""
        x = tf.cast(inputs, tf.float32)
        if self.watching:
            weights["least"].assign(tf.minimum(weights["least"], tf.reduce_min(x)))
            weights["most"].assign(tf.maximum(weights["most"], tf.reduce_max(x)))
            return inputs
        return tf.cast(tf.quantization.fake_quant_with_min_max_vars(x, *_fixed(weights)), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return nothing: models under training are never saved as Keras does."""
        return {}


def _fixed(weights: Any) -> tuple[Any, Any]:
    return tf.stop_gradient(tf.identity(weights["least"])), tf.stop_gradient(tf.identity(weights["most"]))


def rounded(kernel: Any, bits: int, per_channel: bool) -> Any:
    """Return `kernel` on a symmetric grid of `bits` bits, one a channel of its last axis, or one for all of it."""
    flat = tf.reshape(kernel, [-1, kernel.shape[-1] if per_channel else 1])
    most = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(flat), axis=0), TINY))
    found = tf.quantization.fake_quant_with_min_max_vars_per_channel(flat, -most, most, bits, narrow_range=True)
    return tf.reshape(found, tf.shape(kernel))


def _rounded_depthwise(kernel: Any, bits: int, per_channel: bool) -> Any:
    """Return `rounded` of a kernel `[height, width, channels, multiplier]`, whose outputs are channels × multiplier."""
    shape = tf.shape(kernel)
    height, width, channels, multiplier = kernel.shape
    return tf.reshape(rounded(tf.reshape(kernel, [height, width, channels * multiplier]), bits, per_channel), shape)


def made_aware(model: Any, bits: int, per_channel: bool, activations: bool, keeps: tuple[bool, int | None]) -> Any:
    """Return `model` with rounded kernels and, if so asked, activations; `keeps` says which patterns of kernels stay.

    Weights are shared with `model`, not copied.
    """
    inside = {id(layer) for layer in model.layers}

    def surroundings(layer: Any) -> Surroundings | None:
        kernels = {}
        for name, variable in kernels_of(layer):
            pattern = Pattern.of(variable.numpy(), *keeps)
            rounds = (lambda kernel: rounded(kernel, bits, per_channel)) if isinstance(layer, ROUNDED) else None
            if rounds is not None or pattern.keeps:
                kernels[name] = Keep(pattern, rounds)
        if isinstance(layer, L.DepthwiseConv2D):
            kernels["depthwise_kernel"] = Keep(Pattern(), lambda kernel: _rounded_depthwise(kernel, bits, per_channel))
        outputs = [Round()] if activations and isinstance(layer, MADE) and not _is_folded(layer, inside) else []
        return Surroundings(kernels, outputs) if kernels or outputs else None

    return surrounded(model, surroundings)


def _is_folded(layer: Any, inside: set[int]) -> bool:
    """Say whether an output is never stored: all of what reads it becomes one operator with it."""
    readers = [node.outbound_layer for node in layer._outbound_nodes if id(node.outbound_layer) in inside]
    return len(readers) == 1 and isinstance(readers[0], FOLDED)


def watch(model: Any, rows: Any) -> None:
    """Set the ranges of activations to what `rows` make of them."""
    rounds = [quantizer for wrapper in wrappers_of(model) for quantizer in wrapper._output_quantizers]
    for quantizer in rounds:
        quantizer.watching = True
    for start in range(0, count(rows), BATCH):
        model(each(rows, lambda part: part[start : start + BATCH]), training=False)  # noqa: B023  called at once
    for quantizer in rounds:
        quantizer.watching = False


def untrained(model: Any) -> Iterator[tuple[str, str]]:
    """Yield (layer, its class) of each layer that computes and is not rounded while training."""
    for layer in model.layers:
        ours = type(layer).__module__.startswith("jobs.") and type(layer).__name__ not in PASSING
        if not isinstance(layer, MADE) and (layer.weights or ours):
            yield layer.name, type(layer).__name__
