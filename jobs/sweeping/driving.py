"""Drives a sweep with Ray Tune, in a process of its own: trials are proposed, watched, kept in the journal.

Tune's own snapshots are pickled, and never read: an interrupted sweep goes on from the journal, and what ended is told
to the searcher again.
"""

from __future__ import annotations

import json
import math
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from cluster.environment import training_variables
from cluster.errors import StepError
from cluster.folder import Folder
from cluster.postmortem import death, lost_with_node
from cluster.resources import Resources
from cluster.work import Channel, run_remote
from jobs.sweeping.plan import Plan, at_once
from jobs.sweeping.record import Journal, Trial
from jobs.sweeping.schedulers import Watched
from jobs.sweeping.schedulers.scheduler import DRAWN, ENDED, MEASURE
from jobs.sweeping.space import Values, value_at
from jobs.sweeping.summing_up import sum_up

ROUNDS = 4  # of trials that are lost with their nodes
QUIET = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths in a definition count from the folder the run began in
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # what they would write is in the journal
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # of snapshots that are never read
    "TUNE_MAX_PENDING_TRIALS_PG": "16",  # processes that start at once, of 1
}


class Book:
    """Asks the searcher for trials, tells it what came of them, and keeps that."""

    def __init__(self, plan: Plan, tell: Channel) -> None:
        self.plan, self.tell = plan, tell
        self.journal = Journal(plan.checkpoints.child("trials"))
        self.trials = {trial.number: trial for trial in self.journal.read(plan.identity())}
        self.search = plan.searcher.search(plan.space, plan.goals, plan.trials)
        for trial in self.trials.values():
            self.search.replay(trial.values, trial.outcome())
        self.next = 0
        self.running: dict[int, _Running] = {}
        self.lost: list[int] = []  # trials that went with their nodes, of which nothing is kept
        self.started = time.time() - max((t.begun + t.seconds for t in self.trials.values()), default=0.0)

    def own_values(self) -> Values:
        """Return the definition's own values of the fields of the space."""
        asked = self.plan.asked
        return {name: value_at(owner, name)[0] for name in self.plan.space if (owner := asked.owner(name)) is not None}

    def ask(self) -> dict[str, Any] | None:
        """Return number and values of the next trial; None when there are no more."""
        while self.next in self.trials:
            self.next += 1
        if self.next >= self.plan.trials:
            return None
        token: object = None
        if self.next == 0 and self.plan.own:
            values = self.own_values()
            self.search.begun(values)
        elif (asked := self.search.ask()) is None:
            return None
        else:
            token, values = asked
        number, self.next = self.next, self.next + 1
        self.running[number] = _Running(number, values, token, time.time())
        return {"number": number, "values": values}

    def saw(self, number: int, result: dict[str, Any]) -> None:
        """Take a result of a trial."""
        self.running[number].take(result)

    def ended(self, number: int, result: dict[str, Any] | None) -> None:
        """Take the end of a trial: by itself, by the scheduler, or because it failed."""
        if (running := self.running.pop(number, None)) is not None:
            text = (result or {}).get(ENDED)
            self._keep(running, self._trial(running, None if text is None else json.loads(text)))

    def died(self, number: int, error: str) -> None:
        """Take the end of a trial's process, in Ray's words: a trial that was lost with its node is not kept."""
        if (running := self.running.pop(number, None)) is None:
            return
        if lost_with_node(error):
            self.lost.append(number)
            self.tell({"warning": f"trial {number} was lost with its node, and is made again"})
        else:
            self._keep(running, self._trial(running, {"failed": _of_process(error)}))

    def _keep(self, running: _Running, trial: Trial) -> None:
        self.trials[trial.number] = trial
        self.journal.write(trial)
        if running.token is None:  # it was not the search that asked for it
            self.search.replay(trial.values, trial.outcome())
        else:
            self.search.tell(running.token, trial.outcome())
        self.tell({"trial": trial.number, "trials": self.plan.trials} | self._words(trial))

    def _trial(self, running: _Running, ended: dict[str, Any] | None) -> Trial:
        error, measured, status = "", {}, "stopped"
        if ended is not None and "failed" in ended:
            error, status = ended["failed"], "failed"
        elif ended is not None:
            known = self.plan.costs(running.values) if self.plan.costs is not None else {}
            measured, status = ended["measured"] | known, "finished"
            if any(not math.isfinite(value) for value in measured.values()):
                error, measured, status = f"it measured {measured}", {}, "failed"
        return Trial(
            number=running.number,
            values=running.values,
            status=status,  # type: ignore[arg-type]
            measured=measured,
            curve=running.curve,
            error=error,
            seed=self.plan.asked.at(running.values).train.seed,
            seconds=time.time() - running.begun,
            begun=running.begun - self.started,
        )

    def _words(self, trial: Trial) -> dict[str, Any]:
        shown = trial.measured or ({self.plan.goals.watched: trial.curve[-1]} if trial.curve else {})
        first = trial.error.partition("\n")[0]
        return {"status": trial.status, "epochs": len(trial.curve), "measured": shown, "failed": first}


def _of_process(error: str) -> str:
    """Return what became of a process that died by itself: its number, the signal and its log, as far as known."""
    end = death(error)
    if end.pid == "unknown":
        return f"its process died\n{error}"
    how = "" if end.found == "died" else f": it {end.found}"
    return f"its process died (pid {end.pid} on {end.node}){how}; its log: {end.log}"


class _Running:
    def __init__(self, number: int, values: Values, token: object, begun: float) -> None:
        self.number, self.values, self.token, self.begun = number, values, token, begun
        self.curve: list[float] = []

    def take(self, result: dict[str, Any]) -> None:
        """Take a result: of an epoch, or of how the trial ended."""
        drawn = json.loads(result[DRAWN])
        self.values, self.curve = drawn["values"], drawn["curve"]  # a scheduler may have changed them


def drive(plan: Plan, out: Folder, tell: Callable[[dict[str, Any]], None], stop: threading.Event | None = None) -> None:
    """Run a sweep in a process of its own."""
    apart(run_sweep, plan, out, tell=tell, stop=stop)


def apart(
    work: Callable[..., None],
    *given: Any,
    tell: Callable[[dict[str, Any]], None],
    stop: threading.Event | None = None,
) -> None:
    """Run `work(*given, tell=…)` in a process that holds nothing; those of its trials inherit what training has set."""
    run_remote(work, *given, resources=Resources(), tell=tell, stop=stop, variables=training_variables())


def run_sweep(plan: Plan, out: Folder, tell: Channel) -> None:
    """Run the trials that are left, and write what all of them came to into `out`."""
    import ray

    from cluster.growth import capacity_of

    os.environ.update(QUIET)
    book = Book(plan, tell)
    for _ in range(ROUNDS):
        if book.trials:
            tell({"trials kept": len(book.trials)})
        left = plan.trials - len(book.trials)
        if left > 0:
            _tuned(plan, book, left, together(plan, capacity_of(ray.nodes())))
        if not book.lost:
            break
        lost, book = book.lost, Book(plan, tell)  # as a sweep that goes on: what is not in the journal is made
    else:
        numbers = ", ".join(map(str, sorted(lost)))
        raise StepError(f"trials {numbers}", "were lost with their nodes each time", remedy="run again to make them")
    sum_up(plan, [book.trials[number] for number in sorted(book.trials)], out)


def together(plan: Plan, room: Resources) -> int:
    """Return how many trials run at once: as many as the cluster may come to hold, and no more than was asked."""
    found = at_once(plan.asked.resources(), room, min(plan.trials, plan.concurrent or plan.trials))
    if found < 1:
        held = Resources(room.cpus, room.gpus, room.memory)
        raise StepError("a trial", f"needs {plan.asked.resources()}", f"{held} or less")
    return found


def _tuned(plan: Plan, book: Book, left: int, at_once: int) -> None:
    from ray import tune

    from jobs.sweeping.asking import TRIAL, Asking, Watching
    from jobs.sweeping.trainable import TrialProcess

    random.seed(plan.searcher.seed)
    goals, train = plan.goals, plan.asked.train
    watched = Watched(
        goals.raised.get(goals.watched, goals.watched == "accuracy"), train.epochs, plan.space, train.seed
    )
    one = train.strategy.train_resources()
    # A trial in a group only waits for it; Tune lets a trial hold little, but not nothing.
    held = {"memory": 1} if plan.asked.nested else one.bundle()
    if one.labels and not plan.asked.nested:
        held = tune.PlacementGroupFactory([held], bundle_label_selector=[dict(one.labels)])
    place = plan.checkpoints.child("tune")
    if plan.scheduler.changes:  # Tune lets such a scheduler have no searcher: all trials begin at once, or take turns
        population = [asked for _ in range(left) if (asked := book.ask()) is not None]
        space: dict[str, Any] = {TRIAL: tune.grid_search(population)}
        proposed: dict[str, Any] = {"max_concurrent_trials": at_once}
    else:
        under_way = left if plan.scheduler.waits else at_once  # what runs at once, the resources bound in any case
        space, proposed = {}, {"search_alg": Asking(book, under_way), "num_samples": left}
    name = f"{plan.step}-{time.time_ns()}"
    # Tune keeps what it runs by name, a name a Ray job: two sweeps of a run would run each other's trials.
    process = type(f"TrialProcess-{name}", (TrialProcess,), {})
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(process, plan=plan), held),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric=MEASURE,
            mode="max" if watched.raised else "min",
            scheduler=plan.scheduler.scheduler(watched),
            reuse_actors=True,
            **proposed,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(place),
            verbose=0,
            callbacks=[Watching(book)],
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )
    try:
        tuner.fit()
    finally:
        place.delete()
