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
    "deploy",
    "rollback",
    "key",
    "schema",
    "import-hub",
    "bench-strategy",
)
ENDPOINTS = ("predict", "serve", "deploy", "rollback", "key")


def application(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the command that `arguments` begin with, with every command if that is none."""
    for name in [name for name in NAMES if name in arguments[:1]] or NAMES:
        place = f"{__name__}.endpoints" if name in ENDPOINTS else __name__
        import_module(f"{place}.{name.replace('-', '_')}")
    return app
