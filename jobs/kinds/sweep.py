"""The `sweep` job: trials of one training, and of what comes of it compressed, with some fields drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from jobs.job import Inputs, Job, Output
from jobs.spec import Path, Spec
from jobs.sweeping.distributions import Distribution
from jobs.sweeping.goals import TRAINED, Goals, Measure
from jobs.sweeping.plan import Asked, Plan
from jobs.sweeping.schedulers import Scheduler
from jobs.sweeping.searchers import Searcher
from jobs.sweeping.space import conditions, outside, undrawn, value_at
from jobs.sweeping.subject import Subject, measure_problems
from jobs.sweeping.trials import Trials

Goal = Annotated[list[Measure], Field(max_length=4)]


class Limits(Spec):
    """What the winner must keep, measured on validation rows."""

    accuracy: Annotated[float | None, Field(ge=0, le=1, description="At least")] = None
    loss: Annotated[float | None, Field(gt=0, description="At most")] = None
    size_bytes: Annotated[int | None, Field(gt=0, description="At most")] = None
    p99_ms: Annotated[float | None, Field(gt=0, description="At most")] = None


class Sweep(Subject, Job):
    """Try the definition's own values, then others from `space`; trial 0 is always the definition as it stands.

    Without `compress`, accuracy and loss are the float model's; with it, every measure is of the compressed file.
    """

    job: Literal["sweep"] = "sweep"
    produces = Trials
    retries_itself: ClassVar[bool] = False

    space: Annotated[dict[str, Distribution], Field(min_length=1, max_length=64, description="By path to a field")]
    trials: Annotated[int, Field(ge=1, le=100_000)] = 16
    maximise: Annotated[Goal, Field(description="Measures to raise, in order; accuracy if nothing is said")] = []
    minimise: Annotated[Goal, Field(description="Measures to lower, in order, after those to raise")] = []
    subject_to: Limits = Limits()
    searcher: Searcher = Field(default_factory=lambda: Searcher.choose({"kind": "tpe"}))
    scheduler: Scheduler = Field(default_factory=lambda: Scheduler.choose({"kind": "none"}))

    def most_trials(self) -> int:
        """Return `trials`."""
        return self.trials

    def goals(self) -> Goals:
        """Return what is looked for."""
        raised: dict[str, bool] = dict.fromkeys([*self.maximise], True)
        raised |= dict.fromkeys([*self.minimise], False)
        limits = self.subject_to.model_dump(exclude_none=True)
        return Goals(raised or {"accuracy": True}, limits)

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check the definition's own values, the space, the goals, and what the scheduler and the searcher can do."""
        asked = self.asked()
        yield from self.trial_problems(steps, "a sweep")
        sound = True
        for place, text in self._space_problems(asked):
            sound = False
            yield place, text
        yield from self._goal_problems()
        if sound:
            yield from self._way_problems(asked)

    def _space_problems(self, asked: Asked) -> Iterator[tuple[Path, str]]:
        for name, distribution in self.space.items():
            owner = asked.owner(name)
            if owner is None:
                yield ("space", name), "lies in the compression, and the sweep has no compress"
                continue
            _, wrong = value_at(owner, name)
            if wrong := wrong or undrawn(owner, name) or outside(owner, name, distribution):
                yield ("space", name), wrong
        yield from ((("space", *path), text) for path, text in conditions(self.space))

    def _goal_problems(self) -> Iterator[tuple[Path, str]]:
        yield from measure_problems(self.maximise, self.minimise)
        goals = self.goals()
        if self.compress is None:
            for name in [*goals.raised, *goals.limits]:
                if name not in TRAINED:
                    yield (), f"'{name}' is measured of a file that is served: give the sweep a compress"

    def _way_problems(self, asked: Asked) -> Iterator[tuple[Path, str]]:
        scheduler, train = self.scheduler, self.train
        for text in self.searcher.problems(self.space):
            yield ("searcher",), text
        for text in scheduler.problems(self.space, train.epochs):
            yield ("scheduler",), text
        if scheduler.kind != "none" and len(self.goals().raised) > 1:  # type: ignore[attr-defined]
            yield ("scheduler",), "watches one measure, and the sweep has several goals"
        if scheduler.kind != "none" and "epochs" in self.space:  # type: ignore[attr-defined]
            yield ("scheduler",), "compares trials epoch by epoch, so 'epochs' cannot be drawn"
        if scheduler.pauses and asked.nested:
            yield ("scheduler",), "pauses trials, which only a strategy of one worker can"
        if scheduler.waits and self.concurrent is not None:
            yield ("concurrent",), f"cannot bound '{scheduler.kind}', which waits for many trials"  # type: ignore[attr-defined]
        if scheduler.pauses and (train.frozen_epochs or "frozen_epochs" in self.space):
            yield ("scheduler",), "pauses trials, and takes none up again among its frozen_epochs"
        for name, distribution in self.space.items() if scheduler.changes else ():
            if not distribution.holds(value_at(self.train, name)[0]):
                yield ("space", name), "must hold the definition's own value, which trial 0 begins with"

    def plan(self, inputs: Inputs, out: Output) -> Plan:
        """Return what the sweep's processes are given."""
        return Plan(
            self.located(), self.space, self.goals(), self.searcher, self.scheduler, self.trials,
            self.concurrent, inputs[self.train.data].folder, out.step, out.checkpoints,
        )  # fmt: skip

    def run(self, inputs: Inputs, out: Output) -> Trials:
        """Run the trials that are left on the cluster; StepError when none of all finished, or keeps the limits."""
        from jobs.sweeping.driving import drive

        drive(self.plan(inputs, out), out.folder, out.tell, out.stop)
        return Trials.load(out.folder)
