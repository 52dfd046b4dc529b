"""What a model is expected to see and to say: the same measures of held-out rows, and of rows that it answers later."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.runtime.expected import Bins, Expected
from jobs.runtime.inputs import Inputs

Features = dict[str, NDArray[np.float64]]  # one number a row, by name
BATCH = 64  # rows read at once
BINS = 10  # of equal share, as the population stability index is used to
PREDICTED, LENGTH, BRIGHTNESS = "predicted_class", "text_length", "image_brightness"


def features(rows: Inputs) -> Features:
    """Return one number a row, by name: tokens of prepared texts, mean brightness (0 to 1) of prepared images.

    Rows `int32[rows, length]` are texts, `uint8[rows, height, width, channels]` images; others have no feature.
    """
    found: Features = {}
    for part in rows.values() if isinstance(rows, dict) else [rows]:
        if part.dtype == np.uint8 and part.ndim == 4:
            found[BRIGHTNESS] = part.mean(axis=(1, 2, 3), dtype=np.float64) / 255
        elif part.dtype == np.int32 and part.ndim == 2:
            found[LENGTH] = np.count_nonzero(part, axis=1).astype(np.float64)  # 0 pads
    return found


def features_of(rows: Any, chosen: NDArray[np.int64]) -> Features:
    """Return the features of the rows at `chosen` of a data set's split, which are read a few at a time."""
    parts = [features(rows.gather(chosen[start : start + BATCH])[0]) for start in range(0, len(chosen), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def expectation(probabilities: NDArray[np.float32], found: Features) -> Expected:
    """Return what to expect by a model's answers to held-out rows, `float32[rows, classes]`, and the rows' features."""
    said = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    predicted = [float(count / len(probabilities)) for count in said]
    binned = {name: _bins(values) for name, values in found.items()}
    return Expected(rows=len(probabilities), predicted=predicted, features=binned)


def _bins(values: NDArray[Any]) -> Bins:
    """Return at most ten bins of about equal share; values that are one and the same share a bin."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.bincount(places(values, edges), minlength=len(edges) + 1)
    return Bins(edges=[float(edge) for edge in edges], shares=[float(count / len(values)) for count in counts])


def places(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin of each value: bin i holds what is over edge i-1 and at most edge i."""
    return np.searchsorted(edges, values, side="left").astype(np.int64)
