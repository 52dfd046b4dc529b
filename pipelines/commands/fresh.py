"""`espalier fresh`: forget steps, so that the next run makes them again."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines import graph
from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, loaded, opened
from pipelines.plan import plan
from pipelines.store import NAME


@app.command(epilog="Example: espalier fresh pipelines/definitions/quickstart.yaml verdict")
def fresh(
    definition: Definition,
    steps: Annotated[list[str], typer.Argument(help="Steps to forget")],
    sets: Sets = None,
    store: StoreAt = RUNS,
) -> None:
    """Forget STEPS and what depends on them: the next run makes them again."""
    pipeline = loaded(definition, sets)
    planned = plan(pipeline, opened(store), steps)
    edges = graph.dependencies(pipeline)
    names = {*steps, *(below for step in steps for below in graph.dependants(edges, step))}
    for name, step in planned.items():
        if name in names and step.place.record() is not None:
            step.place.folder.remove(NAME)
            print(f"{name}: forgotten")
