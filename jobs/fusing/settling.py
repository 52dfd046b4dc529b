"""Averages of batch normalisation taken anew: those of averaged weights are no average of the members' own."""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.models.model import weights_of
from jobs.runtime.inputs import as_read

ROWS, BATCH = 4_096, 256  # training rows that averages are taken over, at most, and at a time


def settle(model: Any, rows: Any) -> dict[str, Any]:
    """Return `model`'s weights by name, with means and variances of batch normalisation over training `rows`.

    Each is the plain mean over batches of evenly spread rows (Izmailov et al., 2018, section 3.2). No dropout acts.
    """
    import tf_keras as keras

    chosen = np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(np.int64)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for number, start in enumerate(range(0, len(chosen), BATCH)):
        for layer in norms:
            layer.momentum = number / (number + 1)
        x, _ = rows.gather(chosen[start : start + BATCH])
        model(as_read(x), training=True)
    return weights_of(model)
