"""`choice`: one of the values listed."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.spec import Scalar
from jobs.sweeping.distributions.distribution import Distribution


class OneOf(Distribution):
    """One of `values`, each as likely: numbers, texts, true, false or null."""

    kind: Literal["choice"] = "choice"
    values: Annotated[list[Scalar], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _differ(self) -> Self:
        told_apart = {(type(value), value) for value in self.values}
        if len(told_apart) < len(self.values):
            raise PydanticCustomError("distribution", "lists a value twice")
        return self

    def corners(self) -> list[Scalar]:
        """Return all of them."""
        return list(self.values)

    def every(self) -> list[Scalar] | None:
        """Return all of them."""
        return list(self.values)

    def suggest(self, trial: Any, name: str) -> Scalar:
        """Draw one."""
        found: Scalar = trial.suggest_categorical(name, self.values)
        return found

    def holds(self, value: object) -> bool:
        """Say whether `value` is one of them."""
        return any(type(option) is type(value) and option == value for option in self.values)

    def draw(self) -> Scalar:
        """Draw one."""
        return random.choice(self.values)
