"""`log_uniform`: a positive number whose logarithm is uniform, for rates and penalties."""

from __future__ import annotations

import math
import random
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.spec import Scalar
from jobs.sweeping.distributions.distribution import Distribution


class LogUniform(Distribution):
    """Numbers from `low` to `high`, both included; every order of magnitude as likely."""

    kind: Literal["log_uniform"] = "log_uniform"
    low: Annotated[float, Field(gt=0)]
    high: float

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise PydanticCustomError("distribution", "has a high that is not above its low")
        return self

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
