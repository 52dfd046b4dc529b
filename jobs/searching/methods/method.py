"""What a method of architecture search is: it says which candidates are trained alone, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from jobs.kinds.train import Train
from jobs.spec import Choice, Path
from jobs.sweeping.goals import Goals
from jobs.sweeping.space import Space

if TYPE_CHECKING:
    from jobs.job import Output
    from jobs.searching.quest import Quest
    from jobs.sweeping.plan import Plan


class Method(Choice):
    """The family of methods."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    def problems(self, train: Train, space: Space, goals: Goals) -> Iterator[tuple[Path, str]]:
        """Yield (field path in the search, what is wrong) of searching `space` like this."""
        yield from ()

    def most_trials(self) -> int:
        """Return how many candidates are trained alone at most."""
        raise NotImplementedError

    def plan(self, quest: Quest, out: Output) -> tuple[Quest, Plan]:
        """Return the trials to run, and the quest with what was found of its candidates before."""
        raise NotImplementedError
