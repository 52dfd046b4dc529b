"""The command line's application, and the arguments and options that several commands take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import RequestError
from cluster.folder import Folder
from pipelines.load import load
from pipelines.pipeline import Pipeline

if TYPE_CHECKING:
    from pipelines.store import Store


def example(command: str) -> str:
    """Return the end of a command's help: one way to call it, on one line."""
    return f"\b\nExample: {command}"


app = typer.Typer(
    name="espalier",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Definition = Annotated[Path, typer.Argument(metavar="DEFINITION", help="A pipeline definition (YAML)")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter")]
StoreAt = Annotated[str, typer.Option("--store", envvar="ESPALIER_STORE", help="Folder or URI artifacts are kept in")]
Address = Annotated[str | None, typer.Option(help="A running Ray cluster; without it one is started here")]
RUNS = "runs"


@app.callback(epilog=example("espalier run pipelines/definitions/quickstart.yaml"))
def espalier() -> None:
    """Take labelled text and images to a small, fast, proven classifier, on a Ray cluster."""


def loaded(definition: Path, sets: list[str] | None, warns: bool = False) -> Pipeline:
    """Load a definition with the parameters given on the command line; where it `warns`, standard error is told."""
    overrides = {}
    for text in sets or []:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise RequestError(f"--set {text}", "is no parameter", "NAME=VALUE")
        overrides[name] = value
    return load(definition, overrides, _warn if warns else lambda line: None)


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def opened(store: str) -> Store:
    """Open the store at a folder or URI."""
    from pipelines.store import Store

    return Store(Folder.parse(store))


def shown(text: object) -> str:
    """Return `text` with paths below the working folder made relative to it."""
    return str(text).replace(f"{Path.cwd()}/", "")


def when(stamp: str) -> str:
    """Return an ISO 8601 time in UTC as people read it."""
    return f"{stamp[:19].replace('T', ' ')} UTC"
