"""How far two rankings agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations


def kendall(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Kendall's τ-b of two scores of the same things: 1 for the same order, -1 for the reverse.

    Pairs that tie in one score count for neither side (Kendall, 1945). None where one score is the same of all.
    """
    pairs = [
        (_sign(a[0] - b[0]), _sign(a[1] - b[1])) for a, b in combinations(list(zip(first, second, strict=True)), 2)
    ]
    ones, others = sum(x != 0 for x, _ in pairs), sum(y != 0 for _, y in pairs)
    return sum(x * y for x, y in pairs) / math.sqrt(ones * others) if ones and others else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
