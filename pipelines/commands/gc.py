"""`espalier gc`: lists and removes artifacts that no definition refers to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.app import RUNS, Sets, StoreAt, app, loaded, opened
from pipelines.plan import plan
from pipelines.store import Place, Store


@app.command(epilog="Example: espalier gc pipelines/definitions/*.yaml")
def gc(
    definitions: Annotated[list[Path], typer.Argument(help="Every definition whose artifacts are kept")],
    sets: Sets = None,
    store: StoreAt = RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking")] = False,
) -> None:
    """List the artifacts of the pipelines defined in DEFINITIONS that none of them refers to, and remove them."""
    kept = opened(store)
    spare = unreferred(kept, definitions, sets)
    for place in spare:
        size = sum(facts.size for facts in place.folder.files().values())
        print(f"{place.folder}: {size:,} bytes")
    if not spare:
        print("nothing to remove")
    elif yes or typer.confirm(f"remove {len(spare)} artifacts?"):
        for place in spare:
            with place.lease:
                place.folder.delete()


def unreferred(store: Store, definitions: list[Path], sets: list[str] | None) -> list[Place]:
    """Return the places of the definitions' pipelines that none of the definitions refers to and nobody works in."""
    used: set[str] = set()
    names: set[str] = set()
    for definition in definitions:
        pipeline = loaded(definition, sets)
        names.add(pipeline.name)
        used |= {str(step.place.folder) for step in plan(pipeline, store).values()}
    places = (place for name in sorted(names) for place in store.places(name))
    return [place for place in places if str(place.folder) not in used and place.lease.holder() is None]
