"""How far a training is: what a checkpoint holds beside weights, and how many train steps are taken at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.artifacts import Epoch

Sums = tuple[float, float, float]  # of loss, of correct rows, of rows


@dataclass(frozen=True)
class Begun:
    """An epoch that has begun: its train steps so far, their sums, and the seconds they took."""

    train_steps: int = 0
    sums: Sums = (0.0, 0.0, 0.0)
    seconds: float = 0.0

    def after(self, train_steps: int, sums: Sums, seconds: float) -> Begun:
        """Return it with `train_steps` more, whose sums are `sums`; `seconds` are of the whole epoch."""
        loss, correct, rows = (float(mine + more) for mine, more in zip(self.sums, sums, strict=True))
        return Begun(self.train_steps + train_steps, (loss, correct, rows), seconds)


@dataclass(frozen=True)
class Progress:
    """A checkpoint as `fit` goes on from it: the epochs that ended, the one that has begun, and arrays by name."""

    history: list[Epoch]
    begun: Begun
    arrays: dict[str, Any]


class Pace:
    """Chooses how many train steps to take at once, for about `seconds`: one, until their speed is known."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._begun: tuple[int, float] | None = None

    def choose(self, left: int) -> int:
        """Return how many of the `left` train steps to take now; those chosen before have just been taken."""
        now, steps = self._clock(), 1
        if self._begun is not None:
            taken, since = self._begun
            steps = max(1, int(taken * self.seconds / max(now - since, 1e-6)))
        self._begun = (min(steps, left), now)
        return min(steps, left)
