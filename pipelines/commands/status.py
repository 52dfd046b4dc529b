"""`espalier status`: what a store holds of a definition's steps, and who works on them."""

from __future__ import annotations

from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, loaded, opened
from pipelines.plan import Planned, plan


@app.command(epilog="Example: espalier status pipelines/definitions/quickstart.yaml")
def status(definition: Definition, sets: Sets = None, store: StoreAt = RUNS) -> None:
    """Say of every step whether it is done, being worked on, unfinished or not begun."""
    for step in plan(loaded(definition, sets), opened(store)).values():
        print(f"{step.name}: {_state(step)}")


def _state(step: Planned) -> str:
    if step.record is not None:
        size = sum(file.size for file in step.record.manifest.values())
        where = step.place.artifact(step.record)
        return f"done {step.record.made.finished[:19]}Z, {step.record.type} of {size:,} bytes in {where}"
    if (holder := step.place.lease.holder()) is not None:
        return f"running, {holder}"
    if step.place.attempts() or step.place.checkpoints.exists():
        return "unfinished; the next run goes on"
    return f"not done ({'; '.join(step.reasons)})"
