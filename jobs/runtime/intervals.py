"""How sure a measured accuracy is, and a difference of two: intervals, and a paired test."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


def wilson(right: int, rows: int, z: float | None = None) -> tuple[float, float]:
    """Return the score interval of a share, by default of 95 %, two-sided (Wilson 1927)."""
    z = two_sided(LEVEL) if z is None else z
    share, weight = right / rows, z * z / rows
    middle = (share + weight / 2) / (1 + weight)
    reach = z * sqrt(share * (1 - share) / rows + weight / (4 * rows)) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def paired(lost: int, gained: int, rows: int, z: float | None = None) -> tuple[float, float]:
    """Return the interval, by default of 95 %, of the change in accuracy from one model to another on the same rows.

    `lost` rows only the first has right, `gained` only the second. Wald's interval with a row added to each count
    ("Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired Data", Bonett and
    Price 2012), which holds its level on small samples too.
    """
    z = two_sided(LEVEL) if z is None else z
    p, q = (gained + 1) / (rows + 2), (lost + 1) / (rows + 2)
    reach = z * sqrt((p + q - (p - q) ** 2) / (rows + 2))
    return max(-1.0, p - q - reach), min(1.0, p - q + reach)


def mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: were both as good, either would win a row by a coin's toss.

    ("Note on the sampling error of the difference between correlated proportions", McNemar 1947.)
    """
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0


def compared(first: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, Any]:
    """Compare two models by which rows each has right: `bool[rows]`, the same rows in the same order."""
    lost, gained = int((first & ~other).sum()), int((other & ~first).sum())
    low, high = paired(lost, gained, len(first))
    change = (gained - lost) / len(first)
    return {
        "lost": lost,
        "gained": gained,
        "change": change,
        "low": low,
        "high": high,
        "p_value": mcnemar(lost, gained),
    }


def two_sided(level: float) -> float:
    """Return the normal quantile of a two-sided interval of this level: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def one_sided(level: float) -> float:
    """Return the normal quantile of a one-sided bound of this level: 1.645 for 0.95."""
    return NormalDist().inv_cdf(level)
