"""A search by one of Optuna's samplers (Akiba et al., 2019), in memory: what was found before is told to it again."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers.searcher import Outcome
from jobs.sweeping.space import Space, Values, counts, ordered

OVER = "over"  # where a trial keeps by how much it oversteps the limits


def constraints(trial: Any) -> tuple[float, ...]:
    """Return by how much a trial oversteps each limit, as samplers ask for it."""
    return tuple(trial.user_attrs.get(OVER, ()))


class Asking:
    """An Optuna study that is asked and told."""

    def __init__(self, sampler: Any, space: Space, goals: Goals) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = ["maximize" if raised else "minimize" for raised in goals.raised.values()]
        self.study = optuna.create_study(sampler=sampler, directions=directions)
        self.space, self.goals, self.names = space, goals, ordered(space)

    def ask(self) -> tuple[object, Values]:
        """Draw the next trial's values, a field only where its `when` holds."""
        trial = self.study.ask()
        values: Values = {}
        for name in self.names:
            if counts(self.space[name], values):
                values[name] = self.space[name].suggest(trial, name)
        return trial, values

    def tell(self, token: object, outcome: Outcome) -> None:
        """Finish a trial: complete, pruned with its curve, or failed."""
        trial: Any = token
        if outcome.measured:
            trial.set_user_attr(OVER, list(self.goals.over(outcome.measured).values()))
            self.study.tell(trial, self._found(outcome))
            return
        for epoch, value in enumerate(outcome.curve if outcome.stopped and len(self.goals.raised) == 1 else ()):
            trial.report(value, epoch + 1)
        self.study.tell(trial, state=TrialState.PRUNED if outcome.stopped else TrialState.FAIL)

    def begun(self, values: Values) -> None:
        """Wait for what comes of it: a sampler may draw the same values again."""

    def replay(self, values: Values, outcome: Outcome) -> None:
        """Add a trial whose values lie in the space; one with others teaches nothing of it."""
        drawn = {name: values[name] for name in self.names if name in values}
        if not all(self.space[name].holds(value) for name, value in drawn.items()):
            return
        probe = optuna.trial.FixedTrial(drawn)
        for name in drawn:
            self.space[name].suggest(probe, name)
        state = TrialState.COMPLETE if outcome.measured else TrialState.PRUNED if outcome.stopped else TrialState.FAIL
        over = list(self.goals.over(outcome.measured).values()) if outcome.measured else []
        curve = dict(enumerate(outcome.curve, 1)) if outcome.stopped and len(self.goals.raised) == 1 else {}
        self.study.add_trial(
            create_trial(
                state=state,
                params=drawn,
                distributions=probe.distributions,
                values=self._found(outcome) if outcome.measured else None,
                intermediate_values=curve,
                user_attrs={OVER: over},
                system_attrs={"constraints": over},
            )
        )

    def _found(self, outcome: Outcome) -> list[float]:
        return [outcome.measured[name] for name in self.goals.raised]
