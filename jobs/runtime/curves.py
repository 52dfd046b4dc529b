"""What a class's probability is worth over all thresholds, one class against the rest: precision and recall."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 51  # recalls a curve is kept at: 0, 0.02, … 1
CURVES = 25  # classes whose curves are kept; of more, those of the least average precision


def precision_recall(scores: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (precision, recall) at each distinct score, the highest first; `positive` marks at least one row."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], positive[order].cumsum()
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # rows of one score pass together
    return hits[last] / (last + 1), hits[last] / hits[-1]


def average_precision(precision: NDArray[Any], recall: NDArray[Any]) -> float:
    """Return the sum of precisions weighted by the steps in recall, without interpolation."""
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def curves(probabilities: NDArray[np.float32], true: NDArray[np.int32]) -> dict[str, Any]:
    """Return average precision by class (None of one without rows), their mean, and curves by class index.

    A curve is the precision at the highest threshold that reaches each recall of 0, 0.02, … 1.
    """
    found: list[float | None] = []
    kept: dict[str, list[float]] = {}
    for index in range(probabilities.shape[1]):
        positive = true == index
        if not positive.any():
            found.append(None)
            continue
        precision, recall = precision_recall(probabilities[:, index], positive)
        found.append(average_precision(precision, recall))
        at = np.searchsorted(recall, np.linspace(0, 1, LEVELS) - 1e-9)
        kept[str(index)] = [round(float(p), 4) for p in precision[at]]
    known = {str(index): value for index, value in enumerate(found) if value is not None}
    worst = sorted(known, key=lambda index: known[index])[:CURVES]
    return {
        "average_precision": found,
        "macro_average_precision": float(np.mean(list(known.values()))),
        "precision_at_recall": {index: kept[index] for index in sorted(worst, key=int)},
    }
