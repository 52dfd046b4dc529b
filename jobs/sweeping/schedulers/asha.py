"""`asha`: asynchronous successive halving (Li et al., 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.sweeping.schedulers.scheduler import Scheduler, Watched
from jobs.sweeping.space import Space


class Asha(Scheduler):
    """After `grace`, grace·η, grace·η², … epochs a trial goes on if it is among the best 1/η seen there."""

    kind: Literal["asha"] = "asha"
    grace: Annotated[int, Field(ge=1, description="Epochs that every trial is given")] = 1
    reduction: Annotated[int, Field(ge=2, description="η: of how many trials at a rung one goes on")] = 3
    brackets: Annotated[int, Field(ge=1, le=8, description="Ladders with ever later first rungs")] = 1

    def problems(self, space: Space, epochs: int) -> Iterator[str]:
        """A first rung must lie within the epochs."""
        if self.grace >= epochs:
            yield f"gives every trial {self.grace} epochs, and trials have no more than {epochs}"

    def scheduler(self, watched: Watched) -> Any:
        """Stop trials at the rungs."""
        from ray.tune.schedulers import ASHAScheduler

        return ASHAScheduler(
            max_t=watched.epochs,
            grace_period=self.grace,
            reduction_factor=self.reduction,
            brackets=self.brackets,
            stop_last_trials=False,
        )
