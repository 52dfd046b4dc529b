"""`espalier run`: runs what has to run, and reuses the rest."""

from __future__ import annotations

import gc
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.environment import in_job
from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.session import address_of, capacity, page_of_job
from pipelines.commands.app import RUNS, Address, Definition, Sets, StoreAt, app, example, loaded, opened
from pipelines.commands.ends.ending import exit_code, sum_up, tell_afterwords, tell_errors
from pipelines.commands.ends.stopping import STOPPED, at_work
from pipelines.console import screen
from pipelines.pipeline import Pipeline
from pipelines.plan import Planned, check_capacity
from pipelines.plan import plan as planned_of

if TYPE_CHECKING:
    from pipelines.runner import Outcome
    from pipelines.watching.following import Follower


@app.command(epilog=example("espalier run pipelines/definitions/quickstart.yaml --set sparsity=0.6"))
def run(
    definition: Definition,
    sets: Sets = None,
    store: StoreAt = RUNS,
    fresh: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help="Make a step, and what depends on it, afresh")
    ] = None,
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object an event")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write event files for TensorBoard below DIR")
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Tell a tracking server of MLflow of every step"),
    ] = None,
) -> None:
    """Run a definition; finished steps are reused, and a run that was stopped goes on where it was."""
    began = time.monotonic()
    pipeline = loaded(definition, sets, warns=True)
    kept = opened(store)
    _refuse_passing(kept.root, store)
    planned = planned_of(pipeline, kept, fresh or [], lasting=address_of(address) is not None)
    warn_of_damage(planned)
    made = {name: step.place.artifact(step.record) for name, step in planned.items() if step.record is not None}
    if len(made) == len(planned):
        for step in planned.values():
            step.tidy()
        states, code = _reuse(made, as_json), 0
    else:
        if address_of(address) is None:
            _check(pipeline, planned, capacity(address))
        kept.root.check_writable()
        followers = _followers(pipeline, planned, tensorboard, mlflow)
        outcome, code = _run(pipeline, planned, address, as_json, followers)
        states = outcome.states
        made = {name: artifact.folder for name, artifact in outcome.artifacts.items()}
        options = [part for value in sets or [] for part in ("--set", value)]
        options += ["--store", store] if store != RUNS else []
        tell_errors(_failed(outcome) if code != STOPPED else {}, definition, options)
    sum_up(states, time.monotonic() - began, as_json)
    if not as_json:
        tell_afterwords(pipeline, made, ended=address_of(address) is None)
    if code:
        raise typer.Exit(code)


def _check(pipeline: Pipeline, planned: Mapping[str, Planned], total: Resources) -> None:
    """Raise for what is known to be wrong before a cluster is started here."""
    check_capacity(planned, total)
    if pipeline.max_cost is not None:
        from pipelines.costs.estimate import rates

        rates(pipeline, planned, total)


def _refuse_passing(root: Folder, store: str) -> None:
    """Raise RequestError where the store would lie in the folder of a cluster's job, which the cluster deletes."""
    if in_job() and root.is_local and not Path(store).is_absolute():
        raise RequestError(
            f"--store {store}",
            "lies in the job's own folder, which the cluster deletes",
            "a whole path that all nodes mount, or a URI",
            "name it with --store or ESPALIER_STORE",
        )


def warn_of_damage(planned: Mapping[str, Planned]) -> None:
    """Warn of each artifact that is made again because a file of it is damaged."""
    for step in planned.values():
        for reason in step.reasons:
            if "damaged" in reason:
                print(f"warning: step '{step.name}' is made again: {reason}", file=sys.stderr)


def _failed(outcome: Outcome) -> dict[str, BaseException]:
    return {name: error for name, error in outcome.errors.items() if outcome.states[name] == "failed"}


def _reuse(made: Mapping[str, Folder], as_json: bool) -> dict[str, str]:
    with screen(list(made), as_json) as show:
        for name, folder in made.items():
            show(name, "reused", {"artifact": str(folder)})
    return dict.fromkeys(made, "reused")


def _followers(
    pipeline: Pipeline, planned: Mapping[str, Planned], tensorboard: Path | None, mlflow: str | None
) -> list[Follower]:
    """Return who is told of the run beside the screen."""
    from jobs.watching.mlflow import Tracked
    from jobs.watching.tensorboard import EventFiles
    from pipelines.watching.telling import Telling

    run = uuid.uuid4().hex[:8]
    followers: list[Follower] = [Telling(pipeline.name, run, len(planned))]
    if tensorboard is not None:
        followers.append(EventFiles(tensorboard, pipeline.name, run))
    if mlflow is not None:
        followers.append(Tracked(mlflow, pipeline.name, run, pipeline.steps))
    return followers


def _run(
    pipeline: Pipeline,
    planned: Mapping[str, Planned],
    address: str | None,
    as_json: bool,
    followers: Sequence[Follower],
) -> tuple[Outcome, int]:
    """Run on the cluster; return how it ended, and the exit code."""
    from jobs.provenance import provenance
    from pipelines.costs.estimate import rates
    from pipelines.costs.limits import Limits
    from pipelines.runner import Runner
    from pipelines.watching.following import Followed

    gc.enable()
    asked = (step.job.imports for step in planned.values() if step.record is None)
    with at_work(address, next(filter(None, asked), None), pipeline.name) as stop:
        total = capacity(address)
        check_capacity(planned, total)
        an_hour = rates(pipeline, planned, total)
        with screen(list(planned), as_json) as show:
            followed = Followed(show, followers)
            limits = Limits(followed, stop, an_hour, pipeline.timeout, pipeline.max_cost)
            with followed, limits:
                made = provenance() | {"page": page_of_job()}
                outcome = Runner(pipeline, planned, total, limits, made, stop).run()
    if outcome.done:
        return outcome, 0
    if reached := limits.error(pipeline.name):
        print(f"error: {reached}", file=sys.stderr)
        return outcome, reached.exit_code
    return outcome, STOPPED if stop.is_set() else exit_code(outcome.errors.values())
