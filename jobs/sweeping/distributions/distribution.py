"""What a distribution is: the values a field may take in a trial, and when it takes one at all."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.spec import Choice, Scalar

MOST = 10_000  # values a grid may have of one field


class Distribution(Choice):
    """The family of distributions. `when` names other fields of the space and the values that make this one count."""

    when: Annotated[
        dict[str, Annotated[list[Scalar], Field(min_length=1)]],
        Field(description="Drawn only where these fields of the space have one of these values"),
    ] = {}

    def corners(self) -> list[Scalar]:
        """Return values that a field must take if it takes all: the ends, or every choice."""
        raise NotImplementedError

    def every(self) -> list[Scalar] | None:
        """Return every value there is, in order; None where there are more than a grid may have."""
        raise NotImplementedError

    def suggest(self, trial: Any, name: str) -> Scalar:
        """Draw by an Optuna trial, in which the field is called `name`."""
        raise NotImplementedError

    def holds(self, value: object) -> bool:
        """Say whether `value` can be drawn."""
        raise NotImplementedError

    def draw(self) -> Scalar:
        """Draw one value, by the global `random`: population based training's own way."""
        raise NotImplementedError

    def bounds(self) -> tuple[float, float] | None:
        """Return the lowest and the highest value of a continuous distribution, None of others."""
        return None


class Between(Distribution):
    """What the distributions of numbers between two others share."""

    low: float
    high: float

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise PydanticCustomError("distribution", "has a high that is not above its low")
        return self
