"""`espalier key`: makes a key that requests to an endpoint carry."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import RequestError
from pipelines.commands.app import app, example


@app.command(epilog=example("espalier key shop --file keys.txt"))
def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is")],
    file: Annotated[Path | None, typer.Option(help="File of keys to put the key's hash into")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Requests a second of each replica")] = None,
) -> None:
    """Make a key for NAME: it is shown once, and only its hash is kept."""
    from jobs.serving.keys import NAME, new_key

    if not re.fullmatch(NAME, name):
        raise RequestError(name[:80], "is not a name", "letters, digits, ., - and _")
    secret, kept = new_key(name)
    line = f"{kept.name} {kept.sha256}" + ("" if rate is None else f" {rate:g}")
    if file is None:
        print(f"the key, which nothing else keeps: {secret}\nthe line of a file of keys: {line}")
        return
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as opened:
        opened.write(f"{line}\n")
    print(secret)
