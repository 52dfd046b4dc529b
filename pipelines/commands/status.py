"""`espalier status`: what a store holds of a definition's steps, and who works on them."""

from __future__ import annotations

import json

from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, example, loaded, opened, shown, when
from pipelines.console import columns, say
from pipelines.plan import Planned, plan


@app.command(epilog=example("espalier status pipelines/definitions/quickstart.yaml"))
def status(definition: Definition, sets: Sets = None, store: StoreAt = RUNS) -> None:
    """Say how far each step is: done, being worked on, unfinished or not begun."""
    planned = plan(loaded(definition, sets), opened(store))
    for line in columns((step.name, *_state(step)) for step in planned.values()):
        say(line)


def _page(step: Planned) -> str:
    """Return the page of the dashboard for the job that began the step last, as its log tells."""
    try:
        lines = step.place.log_path.read_text().splitlines()
    except OSError:
        return ""
    events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return next(
        (str(event.get("page", "")) for event in reversed(events) if "start" in event and "because" in event), ""
    )


def _state(step: Planned) -> tuple[str, str]:
    holder = step.place.lease.holder()
    if step.record is not None:
        size = sum(file.size for file in step.record.manifest.values())
        made = f"{when(step.record.made.finished)}, {step.record.type} of {size:,} bytes"
        again = f", being made again by {holder}" if holder else ""
        return "done", f"{made} in {shown(step.place.artifact(step.record))}{again}"
    if holder is not None:
        return "running", ", ".join(filter(None, [holder, _page(step)]))
    if step.place.checkpoints.exists():
        return "unfinished", "the next run goes on from its checkpoints"
    return "not done", "; ".join(step.reasons)
