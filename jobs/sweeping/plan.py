"""What every trial of a sweep shares: picklable, sent to its processes once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.folder import Folder
from cluster.resources import Capacity, Resources
from jobs.kinds.compress import Compress
from jobs.kinds.train import Train
from jobs.spec import Scalar, Spec
from jobs.sweeping.goals import Goals
from jobs.sweeping.schedulers import Scheduler
from jobs.sweeping.searchers import Proposing
from jobs.sweeping.space import Space, Values, in_chain, replaced


@dataclass(frozen=True)
class Asked:
    """What a trial trains, and how it is compressed then, if it is."""

    train: Train
    compress: Compress | None

    def owner(self, path: str) -> Spec | None:
        """Return the specification that a path lies in."""
        return self.compress if in_chain(path) else self.train

    def at(self, values: Mapping[str, Scalar]) -> Asked:
        """Return it with the fields at the paths replaced; ValidationError when that makes it wrong."""
        chain = {path: value for path, value in values.items() if in_chain(path)}
        train = {path: value for path, value in values.items() if path not in chain}
        compress = replaced(self.compress, chain) if self.compress is not None and chain else self.compress
        return Asked(replaced(self.train, train) if train else self.train, compress)

    @property
    def nested(self) -> bool:
        """Whether a trial trains in a group of processes of its own, not in the trial's process."""
        return len(self.train.strategy.processes()) > 1

    def resources(self) -> Resources:
        """Return what a trial holds."""
        return self.train.strategy.resources()


def at_once(one: Resources, room: Resources | None, most: int) -> int:
    """Return how many trials that each hold `one` there is `room` for, `most` where nobody can say, and no more."""
    if room is None or (isinstance(room, Capacity) and room.states is None):
        return most
    return min(one.times_in(room), most)


@dataclass(frozen=True)
class Plan:
    """A sweep as its processes need it."""

    asked: Asked
    space: Space
    goals: Goals
    searcher: Proposing
    scheduler: Scheduler
    trials: int
    concurrent: int | None
    data: Folder
    step: str
    checkpoints: Folder  # outlives an attempt
    runner: Callable[[Plan], Any] | None = None  # what runs trials in their processes; jobs/sweeping/trial.py
    costs: Callable[[Values], dict[str, float]] | None = None  # what of a trial is known before it is trained
    own: bool = True  # whether trial 0 has the definition's own values

    def identity(self) -> dict[str, Any]:
        """Return what a trial's result depends on, and what is drawn from what: a journal of another is of no use."""
        chain = self.asked.compress
        return {
            "train": self.asked.train.model_dump(mode="json"),
            "compress": None if chain is None else chain.model_dump(mode="json"),
            "space": {name: distribution.model_dump(mode="json") for name, distribution in self.space.items()},
            "goals": [dict(self.goals.raised), dict(self.goals.limits)],
        }
