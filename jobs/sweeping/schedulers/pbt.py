"""`pbt`: population based training (Jaderberg et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.sweeping.schedulers.scheduler import Scheduler, Watched, unchangeable
from jobs.sweeping.space import Space


class Pbt(Scheduler):
    """Every `every` epochs the worst trials take over the weights and values of the best, and change the values."""

    kind: Literal["pbt"] = "pbt"
    pauses: ClassVar[bool] = True
    changes: ClassVar[bool] = True
    every: Annotated[int, Field(ge=1, description="Epochs between two exchanges")] = 2
    quantile: Annotated[float, Field(gt=0, le=0.5, description="Share of the trials that is best, and worst")] = 0.25
    resample: Annotated[float, Field(ge=0, le=1, description="Probability that a value is drawn anew")] = 0.25

    def problems(self, space: Space, epochs: int) -> Iterator[str]:
        """Values must be such as may change, and there must be an exchange before the end."""
        yield from unchangeable(space)
        if self.every >= epochs:
            yield f"exchanges every {self.every} epochs, and trials have no more than {epochs}"

    def scheduler(self, watched: Watched) -> Any:
        """Exchange weights and values between trials."""
        from ray.tune.schedulers import PopulationBasedTraining

        changed = {name: distribution.every() or distribution.draw for name, distribution in watched.space.items()}
        return PopulationBasedTraining(
            time_attr="training_iteration",
            perturbation_interval=self.every,
            quantile_fraction=self.quantile,
            resample_probability=self.resample,
            hyperparam_mutations={"trial": {"values": changed}},
            custom_explore_fn=_Inside(watched),
            log_config=False,
        )


class _Inside:
    """Brings numbers that were multiplied by 0.8 or 1.2 back between their bounds."""

    def __init__(self, watched: Watched) -> None:
        self.space = watched.space

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        values = dict(config["trial"]["values"])
        for name, value in values.items():
            if (bounds := self.space[name].bounds()) is not None:
                values[name] = min(max(value, bounds[0]), bounds[1])
        return {**config, "trial": {**config["trial"], "values": values}}
