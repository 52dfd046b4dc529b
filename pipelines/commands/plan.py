"""`espalier plan`: what a run would reuse and what it would run, and why."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from cluster.session import address_of, capacity, connected
from pipelines.commands.app import RUNS, Address, Definition, Sets, StoreAt, app, loaded, opened
from pipelines.plan import Planned, check_capacity
from pipelines.plan import plan as planned_of


@app.command(epilog="Example: espalier plan pipelines/definitions/quickstart.yaml")
def plan(
    definition: Definition,
    sets: Sets = None,
    store: StoreAt = RUNS,
    fresh: Annotated[list[str] | None, typer.Option(help="A step that would be made afresh")] = None,
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a step")] = False,
) -> None:
    """Say of every step: reused or run, which field or input made it so, and what it asks of the cluster."""
    planned = planned_of(loaded(definition, sets), opened(store), fresh or [])
    for step in planned.values():
        print(json.dumps(_facts(step)) if as_json else _line(step))
    if address_of(address) is None:
        check_capacity(planned, capacity(address))
    elif not all(step.reused for step in planned.values()):
        with connected(address):
            check_capacity(planned, capacity(address))


def _facts(step: Planned) -> dict[str, Any]:
    state = "reuse" if step.reused else "run"
    asked = step.job.resources()
    return {
        "step": step.name,
        "state": state,
        "because": step.reasons,
        "fingerprint": step.place.fingerprint,
        "cpus": asked.cpus,
        "gpus": asked.gpus,
    }


def _line(step: Planned) -> str:
    if step.record is not None:
        return f"{step.name}: reuse (made {step.record.made.finished[:19]}Z)"
    return f"{step.name}: run ({'; '.join(step.reasons)}), asks {step.job.resources()}"
