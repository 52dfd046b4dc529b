"""The `search` job: neural architecture search over the layout of a backbone's layers, within limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError

from jobs.job import Inputs, Job, Output
from jobs.searching.candidates import Costs, listed, space_problems
from jobs.searching.methods import Method
from jobs.searching.quest import Quest, run_trials
from jobs.spec import Path, Spec
from jobs.sweeping.distributions import Distribution
from jobs.sweeping.goals import Goals
from jobs.sweeping.plan import Plan
from jobs.sweeping.schedulers import Scheduler
from jobs.sweeping.searchers import Searcher
from jobs.sweeping.space import conditions, replaced, value_at
from jobs.sweeping.subject import Subject, measure_problems
from jobs.sweeping.trials import Trials

Measure = Literal["accuracy", "loss", "parameter_bytes", "macs", "size_bytes", "p99_ms"]
Goal = Annotated[list[Measure], Field(max_length=4)]
FEWEST = 2  # classes a data set has


class SearchLimits(Spec):
    """What the winner must keep. What can be counted is counted before training, and candidates beyond it refused."""

    accuracy: Annotated[float | None, Field(ge=0, le=1, description="Of validation rows, at least")] = None
    loss: Annotated[float | None, Field(gt=0, description="Of validation rows, at most")] = None
    parameter_bytes: Annotated[
        int | None, Field(gt=0, description="At most: 4 for every weight and average, counted before training")
    ] = None
    macs: Annotated[
        int | None, Field(gt=0, description="At most: multiplications with weights a row, counted before training")
    ] = None
    size_bytes: Annotated[int | None, Field(gt=0, description="Of the served file, at most")] = None
    p99_ms: Annotated[
        float | None, Field(gt=0, description="Of the served file, one row and one thread on the trial's host, at most")
    ] = None


class Search(Subject, Job):
    """Look for the best layout of a backbone's layers; `best_of` hands the winner to a `train`.

    Size and time are of the served file: the float model's, or what `compress` makes of it.
    """

    job: Literal["search"] = "search"
    produces = Trials
    retries_itself: ClassVar[bool] = False

    space: Annotated[
        dict[str, Distribution], Field(min_length=1, max_length=16, description="By path: model.backbone.width, …")
    ]
    maximise: Annotated[Goal, Field(description="Measures to raise, in order")] = ["accuracy"]
    minimise: Annotated[Goal, Field(description="Measures to lower, in order, after those to raise")] = ["macs"]
    subject_to: SearchLimits = SearchLimits()
    method: Method = Field(default_factory=lambda: Method.choose({"kind": "evolution"}))

    def most_trials(self) -> int:
        """Return how many candidates the method trains alone."""
        return self.method.most_trials()

    def goals(self) -> Goals:
        """Return what is looked for."""
        raised: dict[str, bool] = dict.fromkeys([*self.maximise], True)
        raised |= dict.fromkeys([*self.minimise], False)
        return Goals(raised, self.subject_to.model_dump(exclude_none=True))

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check the training, the space, the goals, and whether any candidate could keep the limits."""
        yield from self.trial_problems(steps, "a search")
        yield from measure_problems(self.maximise, self.minimise)
        if not self.goals().raised:
            yield ("maximise",), "and minimise are empty: nothing is looked for"
        found = [*self._space_problems()]
        yield from ((("space", *path), text) for path, text in found)
        if not found:
            yield from self.method.problems(self.train, self.space, self.goals())
            yield from self._limit_problems(steps)

    def _space_problems(self) -> Iterator[tuple[Path, str]]:
        wrong = [*space_problems(self.space, self.train.model)]
        for name, distribution in () if wrong else self.space.items():
            if text := value_at(self.train, name)[1] or self._outside(name, distribution):
                wrong.append(((name,), text))
        yield from wrong
        yield from conditions(self.space)

    def _outside(self, name: str, distribution: Distribution) -> str:
        for value in distribution.every() or []:
            try:
                replaced(self.train.model, {name.removeprefix("model."): value})
            except ValidationError as error:
                return f"{value!r} is not a value this field can take ({error.errors(include_url=False)[0]['msg']})"
        return ""

    def _limit_problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Yield the limits that the smallest candidate oversteps, on the smallest images of two classes."""
        data, side = self.train.data, None
        if data in steps:
            side = steps[data].image_side()
        image = (side or 1, side or 1, 1) if self.train.model.backbone.modality == "image" else None
        found = [c.costs for c in listed(self.space, Costs(self.train.model, image, FEWEST), Goals({}, {})) if c.costs]
        if not found:
            yield ("space",), "holds no candidate whose values go together"
        for name in ("parameter_bytes", "macs") if found else ():
            limit, least = getattr(self.subject_to, name), min(costs[name] for costs in found)
            if limit is not None and limit < least:
                yield ("subject_to", name), f"is kept by no candidate: the smallest has {least:,.0f} or more"

    def quest(self, inputs: Inputs, out: Output) -> Quest:
        """Return the search as its method sees it: every candidate counted."""
        asked, data = self.located(), inputs[self.train.data]
        plan = Plan(
            asked, self.space, self.goals(), Searcher.choose({"kind": "grid"}),
            Scheduler.choose({"kind": "none"}), 0, self.concurrent, data.folder, out.step, out.checkpoints,
        )  # fmt: skip
        costs = Costs(asked.train.model, None if data.image is None else tuple(data.image), len(data.classes))
        return Quest(plan, listed(self.space, costs, plan.goals), costs, self.retries)

    def run(self, inputs: Inputs, out: Output) -> Trials:
        """Count the candidates, let the method say which are trained alone, and train them on the cluster.

        StepError when none keeps the limits.
        """
        from jobs.sweeping.driving import apart

        quest = self.quest(inputs, out)
        quest.tell_refused(out)
        quest, plan = self.method.plan(quest, out)
        apart(run_trials, quest, plan, out.folder, tell=out.tell, stop=out.stop)
        return Trials.load(out.folder)
