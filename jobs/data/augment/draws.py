"""Random draws that are a pure function of their key: seed, name, train step and row; no state, no order of calls.

Each draw is SplitMix64's finaliser (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014) over
a hash of the key, the row and a counter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _finalised(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@dataclass(frozen=True)
class Draws:
    """The draws of one augmentation, called `name`, at one train step, for the rows with the numbers `rows`."""

    seed: int
    name: str
    train_step: int
    rows: NDArray[np.int64]

    def uniform(self, name: str, count: int = 1) -> NDArray[np.float64]:
        """Return `float64[rows, count]` in 0 ≤ u < 1; every `name` draws afresh."""
        key = hashlib.blake2b(f"{self.seed}/{self.name}/{self.train_step}/{name}".encode(), digest_size=8).digest()
        start = np.frombuffer(key, np.uint64)
        rows = _finalised(self.rows.astype(np.uint64) * _GAMMA + start)
        counters = np.arange(1, count + 1, dtype=np.uint64) * _GAMMA
        drawn = _finalised(rows[:, None] + counters) >> np.uint64(11)
        return drawn.astype(np.float64) * 2.0**-53

    def between(self, name: str, low: float, high: float) -> NDArray[np.float32]:
        """Return `float32[rows]`, uniform from `low` to `high`."""
        return (low + self.uniform(name)[:, 0] * (high - low)).astype(np.float32)

    def chance(self, name: str, probability: float) -> NDArray[np.bool_]:
        """Return `bool[rows]`, true with `probability`."""
        return self.uniform(name)[:, 0] < probability

    def integers(self, name: str, low: int, high: int) -> NDArray[np.int64]:
        """Return `int64[rows]`, uniform over `low` … `high`-1."""
        return low + (self.uniform(name)[:, 0] * (high - low)).astype(np.int64)

    def beta(self, name: str, alpha: float) -> NDArray[np.float64]:
        """Return `float64[rows]` of Beta(alpha, alpha).

        By the closed form of Devroye, "Random variate generation in one line of code" (1996), which rejects nothing.
        """
        u, v, w = self.uniform(name, 3).T
        sign = np.where(w < 0.5, -1.0, 1.0)
        with np.errstate(over="ignore", divide="ignore"):  # infinities are the right limits: 0, 1/2 and 1
            spread = ((1 - u) ** (-1 / alpha) - 1) * np.cos(2 * np.pi * v) ** 2
            shares: NDArray[np.float64] = 0.5 + sign / (2 * np.sqrt(1 + 1 / spread))
        return shares
