"""What fine-tuning keeps of a kernel: which weights are zero, and which share one value.

A wrapper of TFMOT's puts it before each use of the kernel. Who shares with whom is settled before the training and
never changes in it: TFMOT's own clustering looks for the nearest centroid of every weight in every train step, which
takes size × clusters numbers each time, and its cluster-preserving quantization loses clusters by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapperV2
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import Quantizer

from jobs.models.model import weights_of
from jobs.models.weights.wholes import name_of

KERNELS = ("kernel", "embeddings")  # attributes of layers, and how their variables' names end


@dataclass(frozen=True)
class Pattern:
    """Which weights of a kernel stay zero, which share a value: arrays of the kernel's shape, or None for neither."""

    nonzero: NDArray[np.float32] | None = None
    groups: NDArray[np.int32] | None = None  # numbered from 0
    count: int = 0

    @property
    def keeps(self) -> bool:
        """Whether there is anything to keep."""
        return self.nonzero is not None or self.groups is not None

    @classmethod
    def of(cls, kernel: NDArray[np.float32], zeros: bool, clusters: int | None) -> Pattern:
        """Find what to keep: zeros if asked for, and shared values where there are at most `clusters` of them."""
        nonzero = (kernel != 0).astype(np.float32) if zeros and not kernel.all() else None
        if clusters is not None:
            values, groups = np.unique(kernel, return_inverse=True)
            if len(values) <= clusters:
                return cls(nonzero, groups.reshape(kernel.shape).astype(np.int32), len(values))
        return cls(nonzero)

    def tensor(self, kernel: Any) -> Any:
        """Return a kernel as it is used: each weight the mean of those it shares with, zeros zero."""
        if self.groups is not None:
            means = tf.math.unsorted_segment_mean(tf.reshape(kernel, [-1]), self.groups.reshape(-1), self.count)
            kernel = tf.gather(means, self.groups)
        return kernel if self.nonzero is None else kernel * self.nonzero

    def array(self, kernel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what `tensor` does, of an array."""
        if self.groups is not None:
            flat = self.groups.reshape(-1)
            sums = np.bincount(flat, kernel.reshape(-1).astype(np.float64), self.count)
            kernel = (sums / np.bincount(flat, minlength=self.count)).astype(np.float32)[self.groups]
        return kernel if self.nonzero is None else kernel * self.nonzero


class Keep(Quantizer):  # type: ignore[misc]
    """Puts a pattern, and then `rounds`, before a kernel's uses."""

    def __init__(self, pattern: Pattern, rounds: Callable[[Any], Any] | None = None) -> None:
        self.pattern, self.rounds = pattern, rounds

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Return nothing: it has no variables."""
        return {}

    def __call__(self, inputs: Any, training: Any, weights: Any, **options: Any) -> Any:
        """Return the kernel as it is used."""
        kept = self.pattern.tensor(tf.cast(tf.convert_to_tensor(inputs), tf.float32))
        return tf.cast(kept if self.rounds is None else self.rounds(kept), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return nothing: models under training are never saved as Keras does."""
        return {}


class Surroundings(QuantizeConfig):  # type: ignore[misc]
    """What a wrapper does to one layer: its kernel through `kernels` (by attribute), its output through `outputs`."""

    def __init__(self, kernels: dict[str, Any], outputs: list[Any]) -> None:
        self.kernels, self.outputs = kernels, outputs

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """Return (variable, quantizer) of each kernel."""
        return [(getattr(layer, name), quantizer) for name, quantizer in self.kernels.items()]

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Let the layer use these."""
        for name, weight in zip(self.kernels, quantize_weights, strict=True):
            setattr(layer, name, weight)

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """Return none: outputs are rounded, whatever makes them."""
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Do nothing."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Return what rounds the output."""
        return self.outputs

    def get_config(self) -> dict[str, Any]:
        """Return nothing, as `Keep` does."""
        return {}


def kernels_of(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield (attribute, variable) of a layer's trainable kernel or embedding."""
    for name in KERNELS:
        variable = layer.__dict__.get(name)
        if variable is not None and any(variable is v for v in layer.trainable_weights) and len(variable.shape) >= 2:
            yield name, variable


def surrounded(model: Any, surroundings: Callable[[Any], Surroundings | None]) -> Any:
    """Return `model` with a wrapper around each layer that has `surroundings`; weights are shared, not copied."""

    def around(layer: Any) -> Any:
        found = surroundings(layer)
        return layer if found is None else QuantizeWrapperV2(layer, found)

    return keras.models.clone_model(model, clone_function=around)


def wrappers_of(model: Any) -> list[Any]:
    """Return the wrappers around the model's layers."""
    return [layer for layer in model.layers if isinstance(layer, QuantizeWrapperV2)]


def kept_weights(model: Any) -> dict[str, Any]:
    """Return the weights by name of the layers in `surrounded`'s wrappers and of the others, as they are used."""
    weights: dict[str, Any] = {}
    for layer in model.layers:
        if not isinstance(layer, QuantizeWrapperV2):
            weights.update(weights_of(layer))
            continue
        own = [variable for variable in layer.weights if name_of(variable).startswith(f"{layer.layer.name}/")]
        weights.update({name_of(variable): variable.numpy() for variable in own})
        for variable, keep, _ in layer._weight_vars:
            weights[name_of(variable)] = keep.pattern.array(variable.numpy())
    return weights
