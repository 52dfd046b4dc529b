"""`espalier report`: where the pages of a definition's reports are; `--open` shows them in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import RequestError
from jobs.artifacts import Report
from pipelines.commands.app import RUNS, Definition, Sets, StoreAt, app, example, loaded, opened, shown
from pipelines.console import say
from pipelines.plan import plan


@app.command(epilog=example("espalier report pipelines/definitions/quickstart.yaml --open"))
def report(
    definition: Definition,
    sets: Sets = None,
    store: StoreAt = RUNS,
    show: Annotated[bool, typer.Option("--open", help="Open the pages in the browser")] = False,
) -> None:
    """Say where the pages are that the definition's reports made."""
    pages = _pages(definition, sets, store)
    if not pages:
        remedy = f"espalier run {definition} makes what a step with `job: report` says"
        raise RequestError(str(definition), "has no page of a report in the store", remedy=remedy)
    for name, page in pages.items():
        say(f"{name}: {shown(page)}")
        if show:
            import webbrowser

            if not webbrowser.open(page.absolute().as_uri()):
                raise RequestError(str(page), "cannot be shown: no browser is found", remedy="open the file yourself")


def _pages(definition: Path, sets: list[str] | None, store: str) -> dict[str, Path]:
    """Return the page of each report that is made; one of a store elsewhere is fetched."""
    found = {}
    for name, step in plan(loaded(definition, sets), opened(store)).items():
        if step.record is not None and step.record.type == Report.__name__:
            made = Report.load(step.place.artifact(step.record))
            if made.page:
                found[name] = made.folder.fetch() / made.page
    return found
