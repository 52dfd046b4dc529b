"""`espalier fresh`: forget steps, so that the next run makes them again."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, example, loaded, opened
from pipelines.commands.completing import steps as offered
from pipelines.commands.forget import forget
from pipelines.console import say
from pipelines.plan import below, plan


@app.command(epilog=example("espalier fresh pipelines/definitions/quickstart.yaml verdict"))
def fresh(
    definition: Definition,
    steps: Annotated[list[str], typer.Argument(metavar="STEPS", help="Steps to forget", autocompletion=offered)],
    sets: Sets = None,
    store: StoreAt = RUNS,
) -> None:
    """Forget STEPS and what depends on them: what was made is removed, and the next run makes it again."""
    pipeline = loaded(definition, sets)
    names = {*steps, *(name for step in steps for name in below(pipeline, step))}
    for name, step in plan(pipeline, opened(store)).items():
        if name not in names:
            continue
        if not step.place.folder.exists():
            say(f"{name}: was not made")
        elif forget(step.place):
            say(f"{name}: forgotten")
