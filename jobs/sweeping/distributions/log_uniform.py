"""`log_uniform`: a positive number whose logarithm is uniform, for rates and penalties."""

from __future__ import annotations

import math
import random
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.spec import Scalar
from jobs.sweeping.distributions.distribution import Between


class LogUniform(Between):
    """Numbers from `low` to `high`, both included; every order of magnitude as likely."""

    kind: Literal["log_uniform"] = "log_uniform"
    low: Annotated[float, Field(gt=0)]

    def corners(self) -> list[Scalar]:
        """Return both ends."""
        return [self.low, self.high]

    def every(self) -> list[Scalar] | None:
        """Return None: there is no end to them."""
        return None

    def suggest(self, trial: Any, name: str) -> float:
        """Draw one."""
        return float(trial.suggest_float(name, self.low, self.high, log=True))

    def holds(self, value: object) -> bool:
        """Say whether a number lies between the ends."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def draw(self) -> float:
        """Draw one."""
        return math.exp(random.uniform(math.log(self.low), math.log(self.high)))

    def bounds(self) -> tuple[float, float] | None:
        """Return both ends."""
        return self.low, self.high
