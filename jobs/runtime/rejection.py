"""Answering only when sure: thresholds on the top probability, chosen on validation rows and judged on others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.runtime.intervals import wilson

COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8, 0.7, 0.5)


def threshold_for_coverage(confidence: NDArray[Any], coverage: float) -> float:
    """Return the highest threshold that accepts at least this share of the rows; 0 when all are to be accepted."""
    if coverage >= 1:
        return 0.0
    return float(np.sort(confidence)[::-1][max(0, int(np.ceil(coverage * len(confidence))) - 1)])


def threshold_for_accuracy(confidence: NDArray[Any], correct: NDArray[np.bool_], accuracy: float) -> float | None:
    """Return the least threshold at which the accepted rows reach `accuracy`; None when no threshold does."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # rows of one confidence pass together
    reached = np.flatnonzero(correct[order].cumsum()[last] / (last + 1) >= accuracy - 1e-9)
    if not len(reached):
        return None
    place = last[reached[-1]]
    return 0.0 if place == len(ranked) - 1 else float(ranked[place])


def accepted(confidence: NDArray[Any], correct: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    """Return coverage (share of rows accepted) and the accuracy of those with its 95 % interval; None of none."""
    taken = correct[confidence >= threshold]
    found: dict[str, Any] = {"threshold": threshold, "coverage": len(taken) / len(correct), "rows": len(taken)}
    if not len(taken):
        return found | {"accuracy": None, "low": None, "high": None}
    low, high = wilson(int(taken.sum()), len(taken))
    return found | {"accuracy": float(taken.mean()), "low": low, "high": high}


def risk_coverage(
    validation: tuple[NDArray[Any], NDArray[np.bool_]], test: tuple[NDArray[Any], NDArray[np.bool_]]
) -> list[dict[str, Any]]:
    """Return for each aimed coverage the threshold that validation rows give it, and what test rows make of it.

    Each pair is (top probability `float[rows]`, whether the answer is right `bool[rows]`).
    """
    return [
        {"aimed": coverage} | accepted(*test, threshold_for_coverage(validation[0], coverage)) for coverage in COVERAGES
    ]
