"""`espalier serve`: serves a Model artifact in the foreground, on loopback."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from cluster.resources import Resources
from cluster.session import connected
from cluster.work import run_remote
from jobs.artifacts import Model
from pipelines.commands.app import app
from pipelines.console import describe
from pipelines.find import artifact_at


@app.command(epilog="Example: espalier serve runs/quickstart/small-0123456789ab --port 8000")
def serve(
    model: Annotated[str, typer.Argument(help="A Model artifact's folder")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    application: Annotated[str, typer.Option(help="The application's name, and its path")] = "classifier",
) -> None:
    """Serve MODEL on 127.0.0.1 until Ctrl-C."""
    from jobs.serving.application import Place, deploy

    artifact = artifact_at(model, Model)
    place = Place(application=application, host="127.0.0.1", port=port, replicas=1, cpus=1.0)
    ended = threading.Event()
    with connected("local"):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        tell = lambda event: print(describe(event), flush=True)  # noqa: E731
        run_remote(deploy, artifact.folder, place, resources=Resources(), tell=tell, stop=ended)
        while not ended.wait(0.5):  # short, so that the signal is heard
            pass
