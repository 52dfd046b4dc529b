"""`espalier init`: looks at a folder or table, and writes a definition for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.errors import RequestError
from jobs.survey.findings import Rows
from pipelines.commands.app import app, example
from pipelines.console import say
from pipelines.load import load
from pipelines.pipeline import NAME

TEMPLATES = Path(__file__).parents[2] / "definitions/starting"
DEEPER = 64  # pixels a side from which on a deeper net is worth it
VOCABULARY = (1_000, 8_000)  # words: a tenth of the rows' words, within


@app.command(epilog=example("espalier init image photos"))
def init(
    kind: Annotated[Literal["image", "text", "fusion"], typer.Argument(metavar="image|text|fusion")],
    data: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of class folders; a table, or its folder")],
    out: Annotated[Path | None, typer.Option(help="The definition to write; by default named after DIR")] = None,
    label: Annotated[str, typer.Option(help="The column of labels")] = "",
    text: Annotated[str, typer.Option(help="The column of texts")] = "",
    image: Annotated[str, typer.Option(help="The column of images: bytes, or paths below the table's folder")] = "",
    force: Annotated[bool, typer.Option(help="Write over a definition that is there")] = False,
) -> None:
    """Look at DIR, say what is in it, and write a definition that is ready to run."""
    if not data.exists():
        raise RequestError(str(data), "does not exist", "a folder or a table")
    found, values = _image(data) if kind == "image" else _table(kind, data, label, text, image)
    name = _name(data)
    path = out or Path(f"{name}.yaml")
    if path.exists() and not force:
        raise RequestError(str(path), "is there already", remedy="name another with --out, or write over it: --force")
    path.write_text(_filled(kind, found, {"name": name, **values}), encoding="utf-8")
    for line in found.told():
        say(line)
    pipeline = load(path)
    say(f"{path}: {len(pipeline.steps)} steps; to run it: espalier run {path}")


def _image(data: Path) -> tuple[Rows, dict[str, object]]:
    from jobs.survey.images import look_at_images

    found = look_at_images(data)
    say(f"{found.sizes} sizes of images: brought to {found.height}×{found.width}, {found.channels} channels")
    return found, {"path": _written(str(data)), **_sized(found.height, found.width, found.channels)}


def _sized(height: int, width: int, channels: int) -> dict[str, object]:
    depth = 20 if min(height, width) >= DEEPER else 8
    return {"height": height, "width": width, "channels": channels, "depth": depth}


def _table(kind: str, data: Path, label: str, text: str, image: str) -> tuple[Rows, dict[str, object]]:
    from jobs.survey.table import Columns, find_table, look_at_table

    found = look_at_table(find_table(data), with_images=kind != "text", asked=Columns(label, text, image))
    least, most = VOCABULARY
    values: dict[str, object] = {name: _written(value) for name, value in vars(found.columns).items()}
    values |= {"path": _written(str(found.path)), "length": found.length}
    values |= {"vocabulary": min(most, max(least, found.total * found.length // 10))}
    say(", ".join(f"{name}s in '{value}'" for name, value in vars(found.columns).items() if value))
    return found, values | (_sized(found.height, found.width, found.channels) if found.height else {})


def _filled(kind: str, found: Rows, values: dict[str, object]) -> str:
    values |= {"epochs": found.epochs, "fewer": max(2, found.epochs // 3), "batch": found.batch_size}
    values |= {"weights": "\n    class_weights: balanced" if found.unequal else ""}
    text = (TEMPLATES / f"{kind}.yaml").read_text(encoding="utf-8")
    return re.sub(r"@([a-z]+)@", lambda match: str(values[match[1]]), text)


def _written(text: str) -> str:
    """Return a text as YAML and JSON write it: no name of a file or column means something else."""
    return json.dumps(text, ensure_ascii=False)


def _name(data: Path) -> str:
    """Return a name for the pipeline after the data's."""
    name = re.sub(r"[^a-z0-9]+", "-", data.resolve().stem.lower()).strip("-")[:40].strip("-")
    return name if re.fullmatch(NAME, name) else "classifier"
