"""Rebuilds a Keras model with the layers its rewrites say, and counts what a model multiplies."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

from jobs.artifacts import Rewrite
from jobs.models.rewriting.layers import rewritten
from jobs.models.weights.wholes import name_of


def rebuilt(model: Any, rewrites: Iterable[Rewrite]) -> Any:
    """Return a functional model like `model` with its layers as `rewrites` say; its weights are fresh ones."""
    import tf_keras as keras

    return keras.Model.from_config(rewritten(model.get_config(), rewrites))


def macs_of(model: Any) -> int:
    """Return the multiplications with weights of convolutions and products for one row: not those of activations.

    As `Counted` counts them: normalisation, additions, pooling and the products of attention's scores are left out.
    """
    return sum(prod(kernel.shape) * positions(layer) for layer in model.layers for kernel in kernels(layer))


def kernels(layer: Any) -> list[Any]:
    """Return the kernels that a layer multiplies with at every position."""
    return [v for v in layer.weights if name_of(v).rpartition("/")[2] in ("kernel", "depthwise_kernel")]


def positions(layer: Any) -> int:
    """Return at how many places of a row's output a layer's kernel is applied."""
    return prod(size or 1 for size in layer.output_shape[1:-1])
