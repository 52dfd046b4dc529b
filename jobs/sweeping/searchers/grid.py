"""`grid`: every combination of values, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers.searcher import Outcome, Search, Searcher
from jobs.sweeping.space import Space, Values, grid


class Grid(Searcher):
    """Every combination; the last field of the space changes fastest. `trials` may cut it short."""

    kind: Literal["grid"] = "grid"

    def problems(self, space: Space) -> Iterator[str]:
        """Yield the fields whose values cannot be listed."""
        for name, distribution in space.items():
            if distribution.every() is None:
                yield f"goes through every value, and '{name}' has no end of them: give it a step, or use a choice"

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin at the first combination."""
        return _Walk(space)


class _Walk:
    def __init__(self, space: Space) -> None:
        self._left = grid(space)
        self._done: list[Values] = []

    def ask(self) -> tuple[object, Values] | None:
        return next(((None, values) for values in self._left if values not in self._done), None)

    def tell(self, token: object, outcome: Outcome) -> None:
        return None

    def replay(self, values: Values, outcome: Outcome) -> None:
        self._done.append(values)
