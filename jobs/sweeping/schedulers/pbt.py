"""`pbt`: population based training (Jaderberg et al., 2017)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.sweeping.schedulers.population import Population
from jobs.sweeping.schedulers.scheduler import Watched


class Pbt(Population):
    """Every `every` epochs the worst trials take over the weights and values of the best, and change the values."""

    kind: Literal["pbt"] = "pbt"
    resample: Annotated[float, Field(ge=0, le=1, description="Probability that a value is drawn anew")] = 0.25

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
