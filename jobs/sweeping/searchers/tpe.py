"""`tpe`: the tree-structured Parzen estimator (Bergstra et al., 2011), by Optuna."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

from pydantic import Field

from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers.searcher import Search, Searcher
from jobs.sweeping.space import Space


class Tpe(Searcher):
    """Draws where good trials were dense and bad ones were not, once `start` random ones are known."""

    kind: Literal["tpe"] = "tpe"
    start: Annotated[int, Field(ge=1, description="Random trials before the first that is chosen")] = 10
    together: Annotated[bool, Field(description="Models the fields jointly, not each by itself")] = True

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin with the seed."""
        import optuna

        from jobs.sweeping.searchers.asking import Asking, constraints

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=self.seed,
                n_startup_trials=self.start,
                multivariate=self.together,
                group=self.together,
                constant_liar=True,  # several trials are asked for before the first is told of
                constraints_func=constraints if goals.limits else None,
            )
        return Asking(sampler, space, goals)
