"""`espalier serve`: serves a Model artifact in the foreground, on loopback."""

from __future__ import annotations

import gc
import re
import threading
from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import RequestError
from cluster.resources import Resources
from cluster.session import connected
from cluster.work import Stopped, run_remote
from jobs.artifacts import Model
from jobs.serving.haproxy.front import haproxy
from pipelines.commands.app import app, example
from pipelines.commands.endpoints.guarding import keys_for
from pipelines.commands.ends.stopping import stopping
from pipelines.console import describe, say
from pipelines.find import artifact_at
from pipelines.pipeline import NAME


@app.command(epilog=example("espalier serve runs/quickstart/small-0123456789ab --port 8000"))
def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A Model artifact's folder")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    application: Annotated[str, typer.Option(help="The application's name, and its path")] = "classifier",
    reject_below: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability under which no label is given")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; all but loopback need keys")] = "127.0.0.1",
    grpc_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Answers gRPC too")] = None,
    keys_file: Annotated[Path | None, typer.Option(help="File of keys, as `espalier key` fills it")] = None,
) -> None:
    """Serve MODEL, on 127.0.0.1 unless told otherwise, until Ctrl-C."""
    from jobs.serving.application import Place, deploy

    artifact = artifact_at(model, Model)
    if not re.fullmatch(NAME, application):
        raise RequestError(f"--application {application}", "is not a name", "lowercase letters, digits, - and _")
    place = Place(
        application=application,
        host=host,
        port=port,
        replicas=1,
        cpus=1.0,
        reject_below=reject_below,
        grpc_port=grpc_port,
        keys=keys_for(host, keys_file),
    )
    gc.enable()
    ended = threading.Event()
    with stopping(ended) as take_signals, connected("local", front=haproxy):
        take_signals()  # connecting takes SIGTERM for itself
        try:
            run_remote(
                deploy, artifact.folder, place, resources=Resources(), tell=lambda e: say(describe(e)), stop=ended
            )
        except Stopped:
            return
        while not ended.wait(0.5):  # short, so that the signal is heard
            pass
