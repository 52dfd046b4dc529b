"""`espalier run`: runs what has to run, and reuses the rest."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.environment import in_job
from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.session import address_of, capacity
from pipelines.commands.app import RUNS, Address, Definition, Sets, StoreAt, app, example, loaded, opened
from pipelines.commands.ends.ending import exit_code, sum_up, tell_afterwords, tell_errors
from pipelines.commands.ends.stopping import STOPPED, at_work
from pipelines.console import screen
from pipelines.pipeline import Pipeline
from pipelines.plan import Planned, check_capacity
from pipelines.plan import plan as planned_of

if TYPE_CHECKING:
    from pipelines.runner import Outcome


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
            check_capacity(planned, capacity(address))
        kept.root.check_writable()
        outcome, code = _run(pipeline, planned, address, as_json)
        states = outcome.states
        made = {name: artifact.folder for name, artifact in outcome.artifacts.items()}
        options = [part for value in sets or [] for part in ("--set", value)]
        options += ["--store", store] if store != RUNS else []
        tell_errors(outcome.errors if code != STOPPED else {}, definition, options)
    sum_up(states, time.monotonic() - began, as_json)
    if not as_json:
        tell_afterwords(pipeline, made, ended=address_of(address) is None)
    if code:
        raise typer.Exit(code)


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


def _reuse(made: Mapping[str, Folder], as_json: bool) -> dict[str, str]:
    with screen(list(made), as_json) as show:
        for name, folder in made.items():
            show(name, "reused", {"artifact": str(folder)})
    return dict.fromkeys(made, "reused")


def _run(pipeline: Pipeline, planned: Mapping[str, Planned], address: str | None, as_json: bool) -> tuple[Outcome, int]:
    """Run on the cluster; return how it ended, and the exit code."""
    from jobs.provenance import provenance
    from pipelines.runner import Runner

    gc.enable()
    asked = (step.job.imports for step in planned.values() if step.record is None)
    with at_work(address, next(filter(None, asked), None)) as stop:
        total = capacity(address)
        check_capacity(planned, total)
        with screen(list(planned), as_json) as show:
            outcome = Runner(pipeline, planned, total, show, provenance(), stop).run()
    if outcome.done:
        return outcome, 0
    return outcome, STOPPED if stop.is_set() else exit_code(outcome.errors.values())
