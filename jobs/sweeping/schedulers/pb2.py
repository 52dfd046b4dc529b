"""`pb2`: population based bandits (Parker-Holder et al., 2020): as PBT, but a Gaussian process proposes the values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.sweeping.schedulers.scheduler import Scheduler, Watched, unchangeable
from jobs.sweeping.space import Space


class Pb2(Scheduler):
    """Every `every` epochs the worst trials take over the weights of the best, with values the process finds best."""

    kind: Literal["pb2"] = "pb2"
    pauses: ClassVar[bool] = True
    changes: ClassVar[bool] = True
    every: Annotated[int, Field(ge=1, description="Epochs between two exchanges")] = 2
    quantile: Annotated[float, Field(gt=0, le=0.5, description="Share of the trials that is best, and worst")] = 0.25

    def problems(self, space: Space, epochs: int) -> Iterator[str]:
        """Values must be numbers that may change, and there must be an exchange before the end."""
        yield from unchangeable(space)
        for name, distribution in space.items():
            if distribution.bounds() is None:
                yield f"moves values within bounds, which '{name}' has not: use uniform or log_uniform, without a step"
        if self.every >= epochs:
            yield f"exchanges every {self.every} epochs, and trials have no more than {epochs}"

    def scheduler(self, watched: Watched) -> Any:
        """Exchange weights between trials, and move their values."""
        from ray.tune.schedulers.pb2 import PB2

        bounds = {name: list(distribution.bounds() or ()) for name, distribution in watched.space.items()}
        return PB2(
            time_attr="training_iteration",
            perturbation_interval=self.every,
            quantile_fraction=self.quantile,
            hyperparam_bounds={"trial": {"values": bounds}},
            log_config=False,
        )
