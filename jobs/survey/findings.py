"""What was found of rows: how many of each class, and what of their sizes decides the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNEQUAL = 3.0  # times the rows of the rarest class, from which on classes are weighed
TRAIN_STEPS = 1_500  # that small nets take to settle on such data
LEAST_EPOCHS, MOST_EPOCHS = 4, 40
BATCHES = ((10_000, 128), (1_000, 64), (0, 32))  # from so many rows on


@dataclass(frozen=True)
class Rows:
    """Rows by class."""

    classes: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many rows there are."""
        return sum(self.classes.values())

    @property
    def imbalance(self) -> float:
        """How many times the rarest class's rows the commonest has."""
        return max(self.classes.values()) / min(self.classes.values())

    @property
    def unequal(self) -> bool:
        """Whether classes are so unequal that they should be weighed."""
        return self.imbalance >= UNEQUAL

    @property
    def batch_size(self) -> int:
        """A batch that leaves an epoch enough train steps."""
        return next(size for least, size in BATCHES if self.total >= least)

    @property
    def epochs(self) -> int:
        """Epochs that make about as many train steps as a small net needs."""
        wanted = TRAIN_STEPS * self.batch_size / max(1.0, 0.8 * self.total)
        return round(min(MOST_EPOCHS, max(LEAST_EPOCHS, wanted)))

    def told(self) -> list[str]:
        """Return in lines what was found."""
        shown = sorted(self.classes.items(), key=lambda item: -item[1])
        named = ", ".join(f"{name} {count:,}" for name, count in shown[:10])
        more = f", … {len(shown) - 10} more" if len(shown) > 10 else ""
        lines = [f"{self.total:,} rows in {len(shown)} classes: {named}{more}"]
        if self.unequal:
            lines.append(f"the commonest class has {self.imbalance:.1f} times the rows of the rarest: classes weigh")
        return lines
