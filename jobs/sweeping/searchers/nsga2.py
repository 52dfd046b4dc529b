"""`nsga2`: the non-dominated sorting genetic algorithm II (Deb et al., 2002), by Optuna, for several goals at once."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

from pydantic import Field

from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers.searcher import Search, Searcher
from jobs.sweeping.space import Space


class Nsga2(Searcher):
    """Generations of `population` trials; each breeds the next from those on its best fronts."""

    kind: Literal["nsga2"] = "nsga2"
    population: Annotated[int, Field(ge=2)] = 16

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin with the seed."""
        import optuna

        from jobs.sweeping.searchers.asking import Asking, constraints

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.NSGAIISampler(
                seed=self.seed,
                population_size=self.population,
                constraints_func=constraints if goals.limits else None,
            )
        return Asking(sampler, space, goals)
