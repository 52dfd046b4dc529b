"""`espalier runs`: what a store holds, of every pipeline, the latest first."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from pipelines.commands.app import RUNS, StoreAt, app, example, opened, shown, when
from pipelines.console import columns, say
from pipelines.store import Place, Record


@app.command(epilog=example("espalier runs --pipeline quickstart"))
def runs(
    pipeline: Annotated[str | None, typer.Option(help="Only what this pipeline made")] = None,
    store: StoreAt = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object an artifact")] = False,
) -> None:
    """List every artifact in the store, what made it, when, and where it lies; then what was begun."""
    found = list(opened(store).records(pipeline))
    done = sorted(
        ((place, record) for place, record in found if record is not None),
        key=lambda each: each[1].made.finished,
        reverse=True,
    )
    begun = [place for place, record in found if record is None]
    if as_json:
        for place, record in done:
            say(json.dumps(_facts(place, record)))
        return
    for line in columns([*(_row(place, record) for place, record in done), *(_begun(place) for place in begun)]):
        say(line)
    if not found:
        say(f"{store} holds nothing yet")


def _facts(place: Place, record: Record) -> dict[str, Any]:
    return {
        "pipeline": record.pipeline,
        "step": record.step,
        "type": record.type,
        "finished": record.made.finished,
        "bytes": sum(file.size for file in record.manifest.values()),
        "commit": record.made.commit,
        "folder": str(place.folder),
    }


def _row(place: Place, record: Record) -> tuple[str, ...]:
    size = sum(file.size for file in record.manifest.values())
    folder = shown(place.folder)
    return record.pipeline, record.step, record.type, when(record.made.finished), f"{size:,} bytes", folder


def _begun(place: Place) -> tuple[str, ...]:
    holder = place.lease.holder()
    return place.pipeline, place.step, "", f"worked on by {holder}" if holder else "unfinished", "", shown(place.folder)
