"""`grid`: every combination of values, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from jobs.spec import Scalar
from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers.searcher import Outcome, Search, Searcher
from jobs.sweeping.space import Space, Values, counts, grid, ordered

Key = frozenset[tuple[str, bool, Scalar]]  # true is no number here, and 1 is 1.0


class Grid(Searcher):
    """Every combination, once; the last field of the space changes fastest. `trials` may cut it short."""

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
        self._space, self._left = space, grid(space)
        self._done: set[Key] = set()

    def ask(self) -> tuple[object, Values] | None:
        return next(((None, values) for values in self._left if self._key(values) not in self._done), None)

    def tell(self, token: object, outcome: Outcome) -> None:
        return None

    def replay(self, values: Values, outcome: Outcome) -> None:
        self.begun(values)

    def begun(self, values: Values) -> None:
        self._done.add(self._key(values))

    def _key(self, values: Values) -> Key:
        """Return what tells values apart, of the fields that count: a definition has those that do not, too."""
        kept: Values = {}
        for name in ordered(self._space):
            if name in values and counts(self._space[name], kept):
                kept[name] = values[name]
        return frozenset((name, isinstance(value, bool), value) for name, value in kept.items())
