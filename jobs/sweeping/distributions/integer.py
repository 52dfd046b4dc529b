"""`integer`: a whole number between two others."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.spec import Scalar
from jobs.sweeping.distributions.distribution import MOST, Between


class Integer(Between):
    """Whole numbers from `low` to `high`, both included, `step` apart; with `log` every order as likely."""

    kind: Literal["integer"] = "integer"
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.log and (self.low < 1 or self.step != 1):
            raise PydanticCustomError("distribution", "is logarithmic, which takes a low of 1 or more and no step")
        return self

    def corners(self) -> list[Scalar]:
        """Return both ends."""
        return [self.low, self.high - (self.high - self.low) % self.step]

    def every(self) -> list[Scalar] | None:
        """Return all of them."""
        found = range(self.low, self.high + 1, self.step)
        return list(found) if len(found) <= MOST else None

    def suggest(self, trial: Any, name: str) -> int:
        """Draw one."""
        return int(trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log))

    def holds(self, value: object) -> bool:
        """Say whether a whole number is one of them."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and value in range(self.low, self.high + 1, self.step)

    def draw(self) -> int:
        """Draw one, evenly."""
        return random.randrange(self.low, self.high + 1, self.step)
