"""`uniform`: a number between two others, every one as likely."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.spec import Scalar
from jobs.sweeping.distributions.distribution import MOST, Between


class Uniform(Between):
    """Numbers from `low` to `high`, both included; with `step` only those that lie whole steps above `low`."""

    kind: Literal["uniform"] = "uniform"
    step: Annotated[float | None, Field(gt=0, description="Quantises: low, low + step, …")] = None

    def corners(self) -> list[Scalar]:
        """Return both ends."""
        return [self.low, self.high if self.step is None else self._at(self._steps())]

    def _steps(self) -> int:
        assert self.step is not None
        return int((self.high - self.low) / self.step + 1e-9)

    def _at(self, step: int) -> float:
        assert self.step is not None
        return round(self.low + step * self.step, 12)

    def every(self) -> list[Scalar] | None:
        """Return the quantised values."""
        if self.step is None or self._steps() >= MOST:
            return None
        return [self._at(step) for step in range(self._steps() + 1)]

    def suggest(self, trial: Any, name: str) -> float:
        """Draw one."""
        return float(trial.suggest_float(name, self.low, self.high, step=self.step))

    def holds(self, value: object) -> bool:
        """Say whether a number lies between the ends, on a step if there are any."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return self.step is None or abs((value - self.low) / self.step % 1 - 0.5) > 0.5 - 1e-6

    def draw(self) -> float:
        """Draw one."""
        return random.uniform(self.low, self.high) if self.step is None else self._at(random.randint(0, self._steps()))

    def bounds(self) -> tuple[float, float] | None:
        """Return both ends, unless it is quantised."""
        return (self.low, self.high) if self.step is None else None
