"""`espalier plan`: what a run would reuse and what it would run, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cluster.resources import Resources
from cluster.session import address_of, capacity, connected
from pipelines.commands.app import RUNS, Address, Definition, Sets, StoreAt, app, example, loaded, opened, when
from pipelines.console import columns, say
from pipelines.costs.estimate import estimate, rates
from pipelines.plan import Planned, check_capacity
from pipelines.plan import plan as planned_of


@app.command(epilog=example("espalier plan pipelines/definitions/quickstart.yaml --set sparsity=0.6"))
def plan(
    definition: Definition,
    sets: Sets = None,
    store: StoreAt = RUNS,
    fresh: Annotated[list[str] | None, typer.Option(metavar="STEP", help="A step that would be made afresh")] = None,
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a step")] = False,
) -> None:
    """Say which steps would be reused or run, which field or input made it so, and what they ask of the cluster."""
    pipeline = loaded(definition, sets, warns=True)
    planned = planned_of(pipeline, opened(store), fresh or [], lasting=address_of(address) is not None)
    total = _held(planned, address)
    estimates = {n: estimate(step, total, pipeline.prices) for n, step in planned.items() if not step.reused}
    if as_json:
        for step in planned.values():
            more = estimates[step.name].facts() if step.name in estimates else {}
            say(json.dumps(_facts(step, total) | more))
    else:
        for line in columns(_row(step) for step in planned.values()):
            say(line)
        for name, words in [(name, found.words()) for name, found in estimates.items()]:
            if words:
                say(f"{name}: {words}")
        say(_sum(planned, address_of(address), total))
    if total is not None:
        check_capacity(planned, total)
        rates(pipeline, planned, total)


def _held(planned: Mapping[str, Planned], address: str | None) -> Resources | None:
    """Return what the cluster can hold; None when it would have to be connected to, and nothing is to run."""
    if address_of(address) is None:
        return capacity(address)
    if all(step.reused for step in planned.values()):
        return None
    with connected(address):
        return capacity(address)


def _facts(step: Planned, total: Resources | None) -> dict[str, Any]:
    asked = step.job.resources()
    return {
        "step": step.name,
        "state": "reuse" if step.reused else "run",
        "because": step.reasons,
        "fingerprint": step.place.fingerprint,
        "cpus": asked.cpus,
        "gpus": asked.gpus,
        "fits": step.reused or total is None or asked.fits(total),
    }


def _row(step: Planned) -> tuple[str, str, str, str]:
    if step.record is not None:
        return step.name, "reuse", "", f"made {when(step.record.made.finished)}"
    return step.name, "run", str(step.job.resources()), "; ".join(step.reasons)


def _sum(planned: Mapping[str, Planned], address: str | None, total: Resources | None) -> str:
    count = sum(step.reused for step in planned.values())
    held = "" if total is None else f"; {address or 'this machine'} can hold {total}"
    return f"{count} to reuse, {len(planned) - count} to run{held}"
