"""`random`: every trial drawn by itself (Bergstra & Bengio, 2012)."""

from __future__ import annotations

from typing import Literal

from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers.searcher import Search, Searcher
from jobs.sweeping.space import Space


class Random(Searcher):
    """Each field from its own distribution, whatever was found before."""

    kind: Literal["random"] = "random"

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin with the seed."""
        import optuna

        from jobs.sweeping.searchers.asking import Asking

        return Asking(optuna.samplers.RandomSampler(seed=self.seed), space, goals)
