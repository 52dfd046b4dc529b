"""`espalier run`: runs what has to run, and reuses the rest."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any

import typer

from cluster.errors import RequestError, StepError
from cluster.session import address_of, capacity, connect, disconnect
from jobs.artifacts import Artifact
from pipelines.commands.app import RUNS, Address, Definition, Sets, StoreAt, app, loaded, opened
from pipelines.console import screen
from pipelines.pipeline import Pipeline
from pipelines.plan import Planned, check_capacity
from pipelines.plan import plan as planned_of


@app.command(epilog="Example: espalier run pipelines/definitions/quickstart.yaml --set sparsity=0.6")
def run(
    definition: Definition,
    sets: Sets = None,
    store: StoreAt = RUNS,
    fresh: Annotated[list[str] | None, typer.Option(help="Make a step, and what depends on it, afresh")] = None,
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object an event")] = False,
) -> None:
    """Run a definition. Finished steps are reused; a run that was stopped goes on where it was."""
    pipeline = loaded(definition, sets)
    kept = opened(store)
    planned = planned_of(pipeline, kept, fresh or [])
    warn_of_damage(planned)
    if all(step.reused for step in planned.values()):
        with screen(list(planned), as_json) as show:
            for name in planned:
                show(name, "reused", {})
        return
    kept.root.check_writable()
    if address_of(address) is None:
        check_capacity(planned, capacity(address))
    _run(pipeline, planned, address, as_json)


def warn_of_damage(planned: dict[str, Planned]) -> None:
    """Warn of each artifact that is made again because a file of it is damaged."""
    for step in planned.values():
        for reason in step.reasons:
            if "damaged" in reason:
                print(f"warning: step '{step.name}' is made again: {reason}", file=sys.stderr)


def _run(pipeline: Pipeline, planned: dict[str, Planned], address: str | None, as_json: bool) -> None:
    from jobs.provenance import provenance
    from pipelines.runner import Runner

    connect(address)
    try:
        total = capacity(address)
        check_capacity(planned, total)
        with screen(list(planned), as_json) as show:
            runner = Runner(pipeline, planned, total, show, provenance())
            _stop_on_signals(runner)
            outcome = runner.run()
    finally:
        disconnect()
    if runner.stop.is_set():
        print("stopped; run again to go on", file=sys.stderr)
        raise typer.Exit(130)
    if not outcome.done:
        raise _failure(outcome.errors)
    if not as_json:
        _print_artifacts(outcome.artifacts)


def _stop_on_signals(runner: Any) -> None:
    """Stop cleanly on the first Ctrl-C or SIGTERM, at once on the second."""

    def stop(signum: int, frame: object) -> None:
        if runner.stop.is_set():
            os._exit(130)
        print("stopping; once more to force", file=sys.stderr)
        runner.stop.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _failure(errors: dict[str, BaseException]) -> BaseException:
    name, error = next(iter(errors.items()))
    if isinstance(error, RequestError):
        return error
    text = str(error) or type(error).__name__
    others = f"; also failed: {', '.join(list(errors)[1:])}" if len(errors) > 1 else ""
    return StepError(f"step '{name}' failed", text + others, remedy=f"the log: espalier logs DEFINITION {name}")


def _print_artifacts(artifacts: dict[str, Artifact]) -> None:
    for name, artifact in artifacts.items():
        print(f"{name}: {type(artifact).__name__} in {artifact.folder}")
