"""`espalier deploy`: writes the Serve configuration of a model, which `serve deploy` and KubeRay's RayService take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import RequestError
from jobs.artifacts import Model
from jobs.kinds.deploy import LOOPBACK
from pipelines.commands.app import app, example
from pipelines.find import artifact_at


@app.command(epilog=example("espalier deploy s3://models/small-0123456789ab --write serve.yaml --keys-file keys.txt"))
def deploy(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A Model artifact's folder, which all nodes can read")],
    write: Annotated[Path, typer.Option(help="File to write")],
    application: Annotated[str, typer.Option(help="The application's name, and the model's")] = "classifier",
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="Replicas")] = 1,
    cpus: Annotated[float, typer.Option(min=0.1, help="CPUs of each replica")] = 1.0,
    host: Annotated[str, typer.Option(help="Address to listen on; all but loopback need keys")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on")] = 8000,
    grpc_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Answers gRPC too")] = None,
    keys_file: Annotated[Path | None, typer.Option(help="File of keys; their hashes are written")] = None,
) -> None:
    """Write how MODEL is served, for clusters that others deploy to."""
    from jobs.serving.application import Place
    from jobs.serving.keys import read_keys
    from jobs.serving.writing import serve_file

    artifact = artifact_at(model, Model)
    if host not in LOOPBACK and keys_file is None:
        raise RequestError(f"--host {host}", "is reached from other machines", remedy="give --keys-file")
    place = Place(
        application=application,
        host=host,
        port=port,
        replicas=replicas,
        cpus=cpus,
        grpc_port=grpc_port,
        keys=[] if keys_file is None else read_keys(keys_file),
    )
    write.write_text(serve_file(artifact.folder, artifact, place))
    print(f"{write}: serve deploy {write}")
