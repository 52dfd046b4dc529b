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
    "submit",
    "jobs",
    "doctor",
    "init",
    "runs",
    "compare",
    "report",
    "monitoring",
)
ELSEWHERE = {  # of those that do not lie here, the package
    **dict.fromkeys(("predict", "serve", "deploy", "rollback", "key"), "endpoints"),
    **dict.fromkeys(("submit", "jobs", "doctor"), "remote"),
    **dict.fromkeys(("init", "runs", "compare", "report", "monitoring"), "looking"),
}


def application(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the command that `arguments` begin with, with every command if that is none."""
    for name in [name for name in NAMES if name in arguments[:1]] or NAMES:
        place = ".".join([__name__, *filter(None, [ELSEWHERE.get(name)]), name.replace("-", "_")])
        import_module(place)
    return app
