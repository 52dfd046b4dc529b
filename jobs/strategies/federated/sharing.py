"""Which variables of a model rounds share, and which rows batch normalisation can do with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tf_keras as keras

from cluster.errors import FinalError


def shared_weights(model: Any) -> list[Any]:
    """Return the variables that training moves, in the model's order: what is trained, and the averages of batches."""
    moved = {id(variable) for variable in model.trainable_weights}
    moved |= {id(variable) for layer in batch_norms(model) for variable in layer.weights}
    return [variable for variable in model.weights if id(variable) in moved]


def batch_norms(model: Any) -> list[Any]:
    """Return the layers that normalise by the batch's own rows in training; a frozen one uses its averages."""
    return [part for part in model.submodules if isinstance(part, keras.layers.BatchNormalization) and part.trainable]


def check_batches(model: Any, rows: Sequence[int], batch_size: int) -> None:
    """Raise FinalError when `model` normalises batches and one of a client's has one row; `rows` are each one's."""
    if not batch_norms(model):
        return
    for client, held in enumerate(rows):
        if _leaves_one(held, batch_size):
            found = f"has {held:,} rows, and batches of {batch_size} leave one with a single row"
            larger = range(batch_size + 1, 4 * batch_size)
            good = next((size for size in larger if not any(_leaves_one(n, size) for n in rows)), None)
            remedy = f"set batch_size to {good}, for example" if good else "use fewer clients"
            raise FinalError(f"client {client}", found, "two rows or more, for batch normalisation", remedy)


def _leaves_one(rows: int, batch_size: int) -> bool:
    return rows == 1 or batch_size == 1 or (batch_size == 2 and rows % 2 == 1)
