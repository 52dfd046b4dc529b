"""`pb2`: population based bandits (Parker-Holder et al., 2020): as PBT, but a Gaussian process proposes the values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from jobs.sweeping.schedulers.population import Population
from jobs.sweeping.schedulers.scheduler import Watched
from jobs.sweeping.space import Space


class Pb2(Population):
    """Every `every` epochs the worst trials take over the weights of the best, with values the process finds best."""

    kind: Literal["pb2"] = "pb2"

    def problems(self, space: Space, epochs: int) -> Iterator[str]:
        """Values must be numbers that may change, and there must be an exchange before the end."""
        yield from super().problems(space, epochs)
        for name, distribution in space.items():
            if distribution.bounds() is None:
                yield f"moves values within bounds, which '{name}' has not: use uniform or log_uniform, without a step"

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
