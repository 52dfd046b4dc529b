"""`evolution`: generations of candidates, each trained, the next bred from the best fronts (NSGA-II)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from jobs.searching.methods.method import Method

if TYPE_CHECKING:
    from jobs.job import Output
    from jobs.searching.quest import Quest
    from jobs.sweeping.plan import Plan


class Evolution(Method):
    """The non-dominated sorting genetic algorithm II (Deb et al., 2002) over the candidates within the limits.

    No candidate is trained twice: when there are no more, the search ends before `trials`.
    """

    kind: Literal["evolution"] = "evolution"
    trials: Annotated[int, Field(ge=1, le=100_000, description="Candidates trained")] = 16
    population: Annotated[int, Field(ge=2, description="Candidates a generation")] = 8

    def most_trials(self) -> int:
        """Return `trials`."""
        return self.trials

    def plan(self, quest: Quest, out: Output) -> tuple[Quest, Plan]:
        """Return trials that are proposed while others are trained."""
        from jobs.searching.among import Among
        from jobs.searching.candidates import kept, key
        from jobs.sweeping.searchers import Searcher

        bred = Searcher.choose({"kind": "nsga2", "population": self.population, "seed": self.seed})
        allowed = [candidate.values for candidate in kept(quest.candidates)]
        own = [quest.own()] if quest.keeps_own() else []
        most = len({key(values) for values in (*allowed, *own)})
        return quest, quest.trials(Among(bred, allowed), min(self.trials, most), own=True)
