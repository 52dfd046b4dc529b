"""What workers of a mesh send one another in a train step, by the algorithm; nothing is counted on the wire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jobs.strategies.timing import ring_bytes

FLOAT = 4  # bytes


def bytes_sent(model: Any, axes: Mapping[str, int | None], rows: int, batch: int, columns: int) -> int:
    """Return the bytes all workers send for a global batch of `rows` rows on a mesh of `batch` × `columns`.

    Of a layer whose columns divide, the input's gradient is summed over `columns`; of one whose rows do, the output. An
    embedding that divides by width is joined to whole rows. Gradients of variables are summed over `batch`.
    """
    between = sum(rows * _passed_on(layer, axes) * FLOAT for layer in model.layers)
    gradients = sum(math.prod(v.shape) * FLOAT for v in model.trainable_variables)
    return ring_bytes(between, columns) + ring_bytes(gradients, batch)


def _passed_on(layer: Any, axes: Mapping[str, int | None]) -> int:
    """Return how many values of one row a layer sums over, or gathers from, the workers it divides over."""
    axis = next((axes.get(v.name.split(":")[0]) for v in layer.weights), None)
    if axis is None:
        return 0
    embeds = layer.weights[0].name.startswith(f"{layer.name}/embeddings")
    shape = layer.input_shape if axis == 1 and not embeds else layer.output_shape
    values: int = math.prod(shape[1:])
    return values // 2 if embeds else values  # to gather is half of what it is to sum
