"""How far what a version answers has moved from what held-out rows led one to expect: population stability indices.

PSI is the sum over bins of (seen - expected) · ln(seen / expected). Under 0.1 is read as no shift, over 0.2 as one that
matters (Siddiqi, "Credit Risk Scorecards", 2006). It is told over a sliding window of the latest rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.runtime.expectation import PREDICTED, features, places
from jobs.runtime.expected import Expected
from jobs.runtime.inputs import Inputs

WINDOW = 1_000  # rows at least; of many bins more, as each must hold some
A_BIN = 50  # rows of the window for each bin: with fewer, chance alone would look like drift
RARE = 0.02  # classes expected less often share one bin


def psi(seen: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the population stability index of counts `seen` against shares `expected`; each bin counts half a row."""
    smooth = 0.5 / max(1.0, float(seen.sum()))
    given, wanted = seen / max(1.0, float(seen.sum())) + smooth, expected + smooth
    given, wanted = given / given.sum(), wanted / wanted.sum()
    return float(((given - wanted) * np.log(given / wanted)).sum())


class Sliding:
    """Counts of bins over between half a window and a whole one of the latest rows."""

    def __init__(self, expected: NDArray[Any]) -> None:
        self.expected = expected
        self.window = max(WINDOW, A_BIN * len(expected))
        self._now = np.zeros(len(expected))
        self._before = np.zeros(len(expected))

    def add(self, bins: NDArray[np.int64]) -> None:
        """Count rows by their bins."""
        self._now += np.bincount(bins, minlength=len(self._now))
        if self._now.sum() >= self.window / 2:
            self._before, self._now = self._now, np.zeros(len(self._now))

    def drift(self) -> float | None:
        """Return the index; None until half a window of rows was seen."""
        seen = self._before + self._now
        return psi(seen, self.expected) if self._before.any() else None


class Drift:
    """Watches one version: what it predicts, and the features of what it is asked."""

    def __init__(self, expected: Expected) -> None:
        shares = np.array(expected.predicted)
        rare = shares < RARE
        self._class = np.where(rare, 0, np.cumsum(~rare))  # bin 0 is that of rare classes
        self._edges = {name: np.array(bins.edges) for name, bins in expected.features.items()}
        self.sliding = {PREDICTED: Sliding(np.bincount(self._class, shares, int(self._class.max()) + 1))}
        self.sliding |= {name: Sliding(np.array(bins.shares)) for name, bins in expected.features.items()}

    def add(self, rows: Inputs, predicted: NDArray[np.int64]) -> None:
        """Count prepared rows, and the classes `int64[rows]` predicted for them."""
        self.sliding[PREDICTED].add(self._class[predicted])
        for name, values in features(rows).items():
            if name in self._edges:
                self.sliding[name].add(places(values, self._edges[name]))

    def told(self) -> dict[str, float]:
        """Return the index of each that has been seen often enough, by name."""
        return {name: index for name, each in self.sliding.items() if (index := each.drift()) is not None}
