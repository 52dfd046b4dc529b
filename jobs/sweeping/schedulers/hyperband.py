"""`hyperband`: successive halving in brackets that trade trials for epochs (Li et al., 2018)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.sweeping.schedulers.scheduler import Scheduler, Watched


class HyperBand(Scheduler):
    """Trials wait at each rung until all of their bracket are there; the best 1/η go on."""

    kind: Literal["hyperband"] = "hyperband"
    pauses: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    reduction: Annotated[int, Field(ge=2, description="η: of how many trials at a rung one goes on")] = 3

    def scheduler(self, watched: Watched) -> Any:
        """Pause trials at the rungs, and stop those that are not among the best."""
        from ray.tune.schedulers import HyperBandScheduler

        return HyperBandScheduler(max_t=watched.epochs, reduction_factor=self.reduction)
