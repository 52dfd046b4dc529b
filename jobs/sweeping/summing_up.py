"""What a sweep came to: the winner, the front, how much each field mattered, and the table of all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.sweeping.goals import Goals
from jobs.sweeping.plan import Plan
from jobs.sweeping.record import Trial
from jobs.sweeping.searchers import Outcome, Searcher
from jobs.sweeping.trials import Trials, write_table

ENOUGH = 4  # finished trials that importance is estimated from at least


def sum_up(plan: Plan, trials: Sequence[Trial], out: Folder) -> None:
    """Write the artifact; StepError when no trial finished, or none keeps the limits."""
    finished = {trial.number: trial for trial in trials if trial.status == "finished"}
    if not finished:
        raise StepError(f"step '{plan.step}'", "no trial finished", remedy=_why(trials))
    measured = {number: trial.measured for number, trial in finished.items()}
    best = plan.goals.best(measured)
    if best is None:
        near, shown = nearest(plan.goals, measured)
        text = f"no trial keeps the limits; the nearest, trial {near}, has {shown}"
        raise StepError(f"step '{plan.step}'", text, limits_in_words(plan.goals), "see its trials")
    with out.filling() as path:
        write_table(path, list(trials))
    kept = [number for number in measured if plan.goals.keeps(measured[number])]
    several = len(plan.goals.raised) > 1
    Trials(
        best=best,
        values=finished[best].values,
        measured=measured[best],
        raised=dict(plan.goals.raised),
        limits=dict(plan.goals.limits),
        front=[kept[index] for index in plan.goals.front([measured[n] for n in kept])] if several else [],
        watched=plan.goals.watched,
        **{status: sum(trial.status == status for trial in trials) for status in ("finished", "stopped", "failed")},
        importance=importance(plan, trials),
        seconds=max(trial.begun + trial.seconds for trial in trials),
        epochs=sum(len(trial.curve) for trial in trials),
        float_best=_float_best(plan, measured),
    ).save(out)


def _float_best(plan: Plan, measured: dict[int, dict[str, float]]) -> int | None:
    """Return the trial that would have won by its float model's accuracy, where the file that is served was judged."""
    if plan.asked.compress is None:
        return None
    return min(measured, key=lambda number: (-measured[number]["float_accuracy"], number))


def importance(plan: Plan, trials: Sequence[Trial]) -> dict[str, float]:
    """Return the share of each field in the variance of the first goal (fANOVA; Hutter et al., 2014).

    Empty where too few trials finished, or all came to the same.
    """
    import optuna

    goal, raised = next(iter(plan.goals.raised.items()))
    first = Goals({goal: raised}, {})
    search = Searcher.choose({"kind": "random"}).search(plan.space, first, plan.trials)
    finished = [trial for trial in trials if trial.status == "finished"]
    for trial in finished:
        search.replay(trial.values, Outcome(trial.measured))
    study = search.study  # type: ignore[attr-defined]
    known = [trial for trial in study.get_trials() if trial.state.is_finished()]
    if len(known) < ENOUGH or len({trial.value for trial in known}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # no field was drawn in all trials, or none ever changed
        return {}
    return {name: float(share) for name, share in found.items()}


def _why(trials: Sequence[Trial]) -> str:
    failed = [trial for trial in trials if trial.error]
    return f"trial {failed[0].number} failed: {failed[0].error.splitlines()[0]}" if failed else "run more trials"


def limits_in_words(goals: Goals) -> str:
    """Return what must be kept."""
    return ", ".join(
        f"{name} {'at least' if name == 'accuracy' else 'at most'} {v:g}" for name, v in goals.limits.items()
    )


def nearest(goals: Goals, measured: Mapping[int, Mapping[str, float]]) -> tuple[int, str]:
    """Return which of `measured` oversteps the limits least, in proportion, and what it shows of them."""

    def beyond(number: int) -> float:
        over = goals.over(measured[number])
        return sum(max(0.0, value) / max(abs(goals.limits[name]), 1e-9) for name, value in over.items())

    found = min(measured, key=beyond)
    return found, ", ".join(f"{name} {measured[found][name]:g}" for name in goals.limits)
