"""The commands, one file each: parse, call, print. Only the file of the command that is asked for is imported."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

from pipelines.commands.app import app

NAMES = (
    "validate",
    "plan",
    "run",
    "status",
    "logs",
    "fresh",
    "gc",
    "predict",
    "serve",
    "schema",
    "import-hub",
    "bench-strategy",
)


def application(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the command that `arguments` begin with, with every command if that is none."""
    for name in [name for name in NAMES if name in arguments[:1]] or NAMES:
        import_module(f"{__name__}.{name.replace('-', '_')}")
    return app
