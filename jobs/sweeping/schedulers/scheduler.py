"""What a scheduler is: it watches one measure of every trial, epoch by epoch, and stops or changes trials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from jobs.spec import Choice
from jobs.sweeping.space import Space

# Names in a result, as Tune carries it: the watched measure; the trial's values and curve, and how it ended, as JSON.
MEASURE, DRAWN, ENDED = "watched", "drawn", "ended"
BACKBONE = "model.backbone"


@dataclass(frozen=True)
class Watched:
    """What trials show: whether their measure is to be raised, over how many epochs, and what is drawn."""

    raised: bool
    epochs: int
    space: Space
    seed: int


class Scheduler(Choice):
    """The family of schedulers. Those that `pause` trials take them up again from checkpoints, maybe elsewhere."""

    pauses: ClassVar[bool] = False
    changes: ClassVar[bool] = False  # the values of a trial while it trains
    waits: ClassVar[bool] = False  # until many trials are under way, some of them paused

    def problems(self, space: Space, epochs: int) -> Iterator[str]:
        """Yield what is wrong with watching trials over `space` that train for `epochs` epochs."""
        yield from ()

    def scheduler(self, watched: Watched) -> Any:
        """Make Ray Tune's scheduler, which is given measure and direction by the tuner."""
        raise NotImplementedError


def unchangeable(space: Space) -> Iterator[str]:
    """Yield the fields that cannot change while a trial trains: its weights would not fit, or its end would move."""
    for name, distribution in space.items():
        if name.startswith((BACKBONE, "techniques")) or name in ("epochs", "frozen_epochs", "seed", "batch_size"):
            yield f"changes values while a trial trains, which '{name}' cannot"
        if distribution.when:
            yield f"changes every value at once, but '{name}' is drawn only under a condition"
