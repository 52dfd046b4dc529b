"""`espalier rollback`: gives all requests of an endpoint back to the version before."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.resources import Resources
from cluster.session import connected
from cluster.work import run_remote
from pipelines.commands.app import app, example
from pipelines.console import describe, say


@app.command(epilog=example("espalier rollback classifier --address 10.0.0.1:6379 --reason 'labels of shoes'"))
def rollback(
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="The application's name")] = "classifier",
    address: Annotated[str, typer.Option(envvar="RAY_ADDRESS", help="The Ray cluster it runs on")] = "auto",
    reason: Annotated[str, typer.Option(help="Kept with what was done")] = "asked for by hand",
) -> None:
    """Answer with the version before the one that answers now; nothing is loaded, nothing restarts."""
    from jobs.serving.rollout import roll_back

    with connected(address):
        run_remote(roll_back, application, reason, resources=Resources(), tell=lambda event: say(describe(event)))
