"""`median`: the median stopping rule (Golovin et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.sweeping.schedulers.scheduler import Scheduler, Watched
from jobs.sweeping.space import Space


class Median(Scheduler):
    """A trial stops when its best is worse than the median of the others' running averages at the same epoch."""

    kind: Literal["median"] = "median"
    grace: Annotated[int, Field(ge=1, description="Epochs that every trial is given")] = 1
    least: Annotated[int, Field(ge=1, description="Trials the median is taken of at least")] = 3

    def problems(self, space: Space, epochs: int) -> Iterator[str]:
        """The grace must end within the epochs."""
        if self.grace >= epochs:
            yield f"gives every trial {self.grace} epochs, and trials have no more than {epochs}"

    def scheduler(self, watched: Watched) -> Any:
        """Stop trials below the median."""
        from ray.tune.schedulers import MedianStoppingRule

        return MedianStoppingRule(
            time_attr="training_iteration",
            grace_period=self.grace,
            min_samples_required=self.least,
            hard_stop=True,
        )
