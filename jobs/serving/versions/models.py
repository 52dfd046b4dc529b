"""The models a replica answers for, by name: its application's own, and others that the plan allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jobs.serving.answering.observing import Observer
from jobs.serving.plan import Plan
from jobs.serving.refused import Refused
from jobs.serving.versions.roster import Roster


class Models:
    """Rosters by name. `own` is the application's; what a client writes is looked up here, and is never a path."""

    def __init__(self, plan: Plan, observers: Callable[[str], Sequence[Observer]] = lambda name: ()) -> None:
        self._observers = observers
        self.own = Roster(plan, observers(plan.model))
        self.others: dict[str, Roster] = {}

    def named(self, name: str = "") -> Roster:
        """Return the roster of a model, unnamed the application's own; Refused(404) of one that is not allowed."""
        if name in ("", self.own.plan.model):
            return self.own
        if name not in self.others:
            raise Refused(404, f"there is no model {name[:64]}")
        return self.others[name]

    def names(self) -> list[str]:
        """Return the names of all models, the application's own first."""
        return [self.own.plan.model, *self.others]

    def load(self, plan: Plan) -> None:
        """Load what the plan has more. It blocks; nothing that answers changes."""
        self.own.load(plan)
        for name in plan.more:
            alone = plan.of(name)
            roster = self.others.get(name) or Roster(alone, self._observers(name))
            roster.load(alone)
            self.others[name] = roster  # asked for from now on

    def follow(self, plan: Plan) -> None:
        """Answer by the plan from now on, and let go of what it does not hold."""
        self.own.follow(plan)
        for name in [name for name in self.others if name not in plan.more]:
            gone = self.others.pop(name)
            gone.follow(gone.plan.model_copy(update={"versions": []}))
        for name, roster in self.others.items():
            roster.follow(plan.of(name))

    def facts(self) -> dict[str, Any]:
        """Return what is loaded, and how each version did."""
        return {**self.own.facts(), "more": {name: roster.facts() for name, roster in self.others.items()}}
