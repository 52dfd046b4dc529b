"""`espalier logs`: what a step told, attempt after attempt."""

from __future__ import annotations

import json

from cluster.errors import RequestError
from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, loaded, opened
from pipelines.console import describe
from pipelines.plan import plan


@app.command(epilog="Example: espalier logs pipelines/definitions/quickstart.yaml teacher")
def logs(definition: Definition, step: str, sets: Sets = None, store: StoreAt = RUNS) -> None:
    """Print the log of STEP: its events with their times, errors with their tracebacks."""
    planned = plan(loaded(definition, sets), opened(store))
    if step not in planned:
        raise RequestError(f"'{step}'", "is no step", f"one of {', '.join(planned)}")
    path = planned[step].place.log_path
    if not path.exists():
        raise RequestError(f"step '{step}'", "has no log", remedy="it never ran with these fields")
    for line in path.read_text().splitlines():
        event = json.loads(line)
        print(event.pop("at"), event.pop("traceback", "") or describe(event))
