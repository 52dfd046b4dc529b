"""A searcher held to the candidates that are left: none twice, none that is refused, all of them if there is time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.searching.candidates import Key, key, settled
from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers import Outcome, Proposing, Search
from jobs.sweeping.space import Space, Values

PATIENCE = 50  # proposals in a row that bring nothing new, before a candidate is taken by chance


@dataclass(frozen=True)
class Among:
    """Begins searches by `searcher` among `allowed`."""

    searcher: Proposing
    allowed: Sequence[Values]

    @property
    def seed(self) -> int:
        """The searcher's."""
        return self.searcher.seed

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin with the seed."""
        left = {key(values): values for values in self.allowed}
        return _Held(self.searcher.search(space, goals, trials), space, left, self.seed)


@dataclass
class _Held:
    inner: Search
    space: Space
    left: dict[Key, Values]
    seed: int
    found: dict[Key, Outcome] = field(default_factory=dict)
    asked: dict[int, Key] = field(default_factory=dict)  # by the token's identity

    def ask(self) -> tuple[object, Values] | None:
        """Return what the searcher proposes, unless it is known or refused; after many of these, any that is left."""
        for _ in range(PATIENCE if self.left else 0):
            proposed = self.inner.ask()
            if proposed is None:
                break
            token, values = proposed
            name = key(values)
            if self.left.pop(name, None) is not None:
                self.asked[id(token)] = name
                return token, values
            self.inner.tell(token, self.found.get(name, Outcome()))
        if not self.left:
            return None
        name = random.Random(f"{self.seed}/{len(self.left)}").choice(sorted(self.left))
        return None, self.left.pop(name)

    def tell(self, token: object, outcome: Outcome) -> None:
        """Pass on what came of it, and remember it for when it is proposed again."""
        self.found[self.asked.pop(id(token))] = outcome
        self.inner.tell(token, outcome)

    def begun(self, values: Values) -> None:
        """Leave it out: it is under way."""
        self.left.pop(key(settled(self.space, values)), None)
        self.inner.begun(values)

    def replay(self, values: Values, outcome: Outcome) -> None:
        """Take one that is known."""
        name = key(settled(self.space, values))
        self.left.pop(name, None)
        self.found[name] = outcome
        self.inner.replay(values, outcome)


@dataclass(frozen=True)
class Listed:
    """Proposes `chosen`, in order."""

    chosen: Sequence[Values]
    seed: int = 0

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin at the first."""
        return _Walk([*self.chosen])


@dataclass
class _Walk:
    left: list[Values]

    def ask(self) -> tuple[object, Values] | None:
        """Return the next one."""
        return (None, self.left.pop(0)) if self.left else None

    def tell(self, token: object, outcome: Outcome) -> None:
        """Learn nothing."""

    def begun(self, values: Values) -> None:
        """Leave it out."""
        self.left = [other for other in self.left if key(other) != key(values)]

    def replay(self, values: Values, outcome: Outcome) -> None:
        """Leave one out that is done."""
        self.left = [other for other in self.left if key(other) != key(values)]
