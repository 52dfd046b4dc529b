"""`espalier logs`: what a step told, attempt after attempt."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cluster.errors import RequestError
from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, example, loaded, opened, when
from pipelines.commands.completing import steps
from pipelines.console import Progress, describe, say
from pipelines.language.mistakes import suggest_or_list
from pipelines.plan import plan


@app.command(epilog=example("espalier logs pipelines/definitions/quickstart.yaml teacher"))
def logs(
    definition: Definition,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step whose log is printed", autocompletion=steps)],
    sets: Sets = None,
    store: StoreAt = RUNS,
) -> None:
    """Print the log of STEP: its events with their times, errors with their tracebacks."""
    planned = plan(loaded(definition, sets), opened(store))
    if step not in planned:
        raise RequestError(str(definition), f"has no step '{step}'{suggest_or_list(step, planned)}")
    path = planned[step].place.log_path
    if not path.exists():
        raise RequestError(f"step '{step}'", "has no log", remedy="it never ran with these fields and inputs")
    progress = Progress(clock=lambda: 0.0)  # what is past has no time left
    for line in path.read_text(errors="replace").splitlines():
        say(_told(line, progress))


def _told(line: str, progress: Progress) -> str:
    try:
        event = json.loads(line)
        at = when(event.pop("at"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return line  # what a run that was killed wrote last
    progress.take(event)
    return f"{at}  {event.pop('traceback', '').rstrip() or describe(event, progress)}"
