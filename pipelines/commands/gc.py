"""`espalier gc`: lists and removes artifacts that no definition refers to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.app import RUNS, Sets, StoreAt, app, example, loaded, opened, shown, when
from pipelines.commands.forget import forget
from pipelines.console import columns, say
from pipelines.plan import plan
from pipelines.store import Place, Store


@app.command(epilog=example("espalier gc pipelines/definitions/*.yaml"))
def gc(
    definitions: Annotated[
        list[Path], typer.Argument(metavar="DEFINITIONS", help="Every definition whose artifacts are kept")
    ],
    sets: Sets = None,
    store: StoreAt = RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking")] = False,
) -> None:
    """List and remove what no definition refers to, of the pipelines defined in DEFINITIONS."""
    kept = opened(store)
    spare = unreferred(kept, definitions, sets)
    sizes = [sum(facts.size for facts in place.folder.files().values()) for place in spare]
    for line in columns(_row(place, size) for place, size in zip(spare, sizes, strict=True)):
        say(line)
    if not spare:
        say("nothing to remove")
    elif yes or _agreed(f"remove {len(spare)}, {sum(sizes):,} bytes?"):
        say(f"removed {sum(forget(place) for place in spare)}")
    else:
        say("removed nothing")


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


def _row(place: Place, size: int) -> tuple[str, str, str]:
    record = place.record()
    made = f"made {when(record.made.finished)}" if record else "unfinished"
    return shown(place.folder), f"{size:,} bytes", made


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:  # nobody is there to answer
        return False
