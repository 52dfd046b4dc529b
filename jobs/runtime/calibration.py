"""Whether probabilities mean what they say: calibration error, likelihood, and the temperature that mends them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.runtime.runner import softmax

BINS = 15  # as in Guo et al. 2017
MOST = 2_000  # validation rows a temperature is fitted on: it is one number
COLDEST, HOTTEST = 0.02, 50.0


def calibration(probabilities: NDArray[np.float32], true: NDArray[np.int32]) -> dict[str, Any]:
    """Return expected calibration error, negative log-likelihood, Brier score, and the reliability bins.

    The error is of the predicted class over 15 bins of equal width ("On Calibration of Modern Neural Networks",
    Guo et al. 2017, https://arxiv.org/abs/1706.04599); the Brier score is the squared distance to the one-hot label,
    0 to 2. `probabilities` are `float32[rows, classes]`, `true` is `int32[rows]`.
    """
    rows = np.arange(len(true))
    bins = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == true)
    distance = (probabilities.astype(np.float64) ** 2).sum(1) - 2 * probabilities[rows, true] + 1
    return {
        "ece": sum(b["rows"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / len(true),
        "nll": float(-np.log(np.maximum(probabilities[rows, true], 1e-12)).mean()),
        "brier": float(distance.mean()),
        "bins": bins,
    }


def reliability(confidence: NDArray[Any], correct: NDArray[np.bool_], bins: int = BINS) -> list[dict[str, Any]]:
    """Return rows, mean confidence and accuracy of each bin that holds rows; bin i is (i/bins, (i+1)/bins]."""
    place = np.clip(np.ceil(confidence.astype(np.float64) * bins).astype(int) - 1, 0, bins - 1)
    rows = np.bincount(place, minlength=bins)
    said = np.bincount(place, confidence, bins)
    right = np.bincount(place, correct, bins)
    return [
        {"bin": i, "rows": int(n), "confidence": float(said[i] / n), "accuracy": float(right[i] / n)}
        for i, n in enumerate(rows)
        if n
    ]


def fit_temperature(logits: NDArray[np.float32], true: NDArray[np.int32]) -> float:
    """Return the temperature T whose softmax(logits / T) makes the labels most likely (Guo et al. 2017).

    The likelihood is concave in 1/T, so that its slope has one zero, found by bisection. Where no row is mistaken it
    has none: each label counts as 1 − ε, with ε = 1/(rows + 2) shared by all classes, as Platt (1999) smoothed his.
    """
    z = logits.astype(np.float64)
    smooth = 1 / (len(z) + 2)
    wanted = (1 - smooth) * z[np.arange(len(z)), true] + smooth * z.mean(axis=1)

    def slope(scale: float) -> float:
        """Return the derivative of the mean negative log-likelihood in the scale 1/T."""
        return float(((softmax(z * scale) * z).sum(axis=1) - wanted).mean())

    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(float(np.exp(middle))) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def held_out(rows: int) -> NDArray[np.int64]:
    """Return which of the validation rows a temperature is fitted on: at most 2,000, evenly spread."""
    return np.linspace(0, rows - 1, min(MOST, rows)).astype(np.int64)
