"""What a sweep looks for: measures to raise or to lower, limits to keep, and which trial won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Measure = Literal["accuracy", "loss", "size_bytes", "p99_ms"]
TRAINED: tuple[str, ...] = ("accuracy", "loss")  # of validation rows
SERVED: tuple[str, ...] = ("size_bytes", "p99_ms")  # of a served file


@dataclass(frozen=True)
class Goals:
    """Measures in order of weight, whether each is to be raised, and the most others may be (the least: accuracy)."""

    raised: Mapping[str, bool]  # by measure
    limits: Mapping[str, float]

    def over(self, measured: Mapping[str, float]) -> dict[str, float]:
        """Return by how much each limit is overstepped: 0 or less where it is kept."""
        return {
            name: limit - measured[name] if name == "accuracy" else measured[name] - limit
            for name, limit in self.limits.items()
        }

    def keeps(self, measured: Mapping[str, float]) -> bool:
        """Say whether every limit is kept."""
        return all(over <= 0 for over in self.over(measured).values())

    def rank(self, measured: Mapping[str, float]) -> tuple[float, ...]:
        """Return what is the smaller the better, the first goal first."""
        return tuple(-measured[name] if raised else measured[name] for name, raised in self.raised.items())

    def front(self, found: Sequence[Mapping[str, float]]) -> list[int]:
        """Return which of `found` no other beats in one goal without losing in another (the Pareto front)."""
        ranks = [self.rank(measured) for measured in found]
        return [
            index
            for index, mine in enumerate(ranks)
            if not any(all(o <= m for o, m in zip(other, mine, strict=True)) and other != mine for other in ranks)
        ]

    def best(self, found: Mapping[int, Mapping[str, float]]) -> int | None:
        """Return the number of the trial that won: limits kept, best in the first goal, then in the next ones.

        None when no trial keeps the limits.
        """
        kept = [number for number, measured in found.items() if self.keeps(measured)]
        return min(kept, key=lambda number: (*self.rank(found[number]), number), default=None)

    @property
    def served(self) -> bool:
        """Whether something is measured of a served file."""
        return any(name in SERVED for name in (*self.raised, *self.limits))

    @property
    def watched(self) -> str:
        """The measure that schedulers watch while a trial trains: the first one that epochs show, or accuracy."""
        return next((name for name in self.raised if name in TRAINED), "accuracy")
