"""What schedulers of populations share: weights go from the best trials to the worst, and values change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from jobs.sweeping.schedulers.scheduler import Scheduler, unchangeable
from jobs.sweeping.space import Space


class Population(Scheduler):
    """Exchanges every `every` epochs."""

    pauses: ClassVar[bool] = True
    changes: ClassVar[bool] = True
    every: Annotated[int, Field(ge=1, description="Epochs between two exchanges")] = 2
    quantile: Annotated[float, Field(gt=0, le=0.5, description="Share of the trials that is best, and worst")] = 0.25

    def problems(self, space: Space, epochs: int) -> Iterator[str]:
        """Values must be such as may change, and there must be an exchange before the end."""
        yield from unchangeable(space)
        if self.every >= epochs:
            yield f"exchanges every {self.every} epochs, and trials have no more than {epochs}"
