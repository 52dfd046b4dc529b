"""`espalier deploy`: writes the Serve configuration of a model, which `serve deploy` and KubeRay's RayService take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.errors import RequestError
from jobs.artifacts import Model
from jobs.kinds.deploy import Deploy
from jobs.spec import references
from jobs.strategies.strategy import LABEL, LABEL_NAME
from pipelines.commands.app import RUNS, Sets, StoreAt, app, example, loaded, opened
from pipelines.commands.endpoints.guarding import keys_for
from pipelines.find import artifact_at
from pipelines.language.mistakes import suggest_or_list

if TYPE_CHECKING:
    from jobs.serving.application import Place

OF_A_STEP = ("definition", "step", "sets", "store", "write")  # what may be given beside a definition


@app.command(
    epilog=example("espalier deploy --definition pipelines/definitions/deploy.yaml --step live --write a.yaml")
)
def deploy(
    context: typer.Context,
    write: Annotated[Path, typer.Option(help="File to write")],
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A Model artifact's folder, which all nodes can read")
    ] = None,
    definition: Annotated[Path | None, typer.Option(help="Write a deploy step of this definition, as it says")] = None,
    step: Annotated[str | None, typer.Option(help="The step, where the definition deploys more than once")] = None,
    sets: Sets = None,
    store: StoreAt = RUNS,
    application: Annotated[str, typer.Option(help="The application's name, and the model's")] = "classifier",
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="Replicas")] = 1,
    cpus: Annotated[float, typer.Option(min=0.1, help="CPUs of each replica")] = 1.0,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Label of the replicas' nodes")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; all but loopback need keys")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on")] = 8000,
    grpc_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Answers gRPC too")] = None,
    keys_file: Annotated[Path | None, typer.Option(help="File of keys; their hashes are written")] = None,
) -> None:
    """Write how MODEL, or a definition's deploy step, is served, for clusters that others deploy to."""
    from jobs.serving.application import Place
    from jobs.serving.writing import serve_file

    _either(context, model, definition)
    if definition is not None:
        artifact, place = _of_step(definition, step, sets, store)
    else:
        assert model is not None, "one of them is given"
        artifact = artifact_at(model, Model)
        place = Place(
            application=application,
            host=host,
            port=port,
            replicas=replicas,
            cpus=cpus,
            grpc_port=grpc_port,
            keys=keys_for(host, keys_file),
            labels=_labels(label or []),
        )
    write.write_text(serve_file(artifact.folder, artifact, place))
    print(f"{write}: serve deploy {write}")


def _either(context: typer.Context, model: str | None, definition: Path | None) -> None:
    """Raise RequestError unless either a model or a definition says what is served, the other one nothing."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if (model is None) == (definition is None):
        raise RequestError("espalier deploy", "takes either", "MODEL, or --definition and its --step")
    wrong = given - set(OF_A_STEP) if definition is not None else given & {"step", "sets", "store"}
    for name in sorted(wrong):
        option = "--" + {"sets": "set"}.get(name, name).replace("_", "-")
        said = (
            "says nothing beside --definition: set it in its step"
            if definition
            else "says nothing without --definition"
        )
        raise RequestError(option, said)


def _labels(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not re.fullmatch(LABEL_NAME, name) or not re.fullmatch(LABEL, value):
            raise RequestError(f"--label {text[:80]}", "is no label", "NAME=VALUE, such as market=spot")
        found[name] = value
    return found


def _of_step(definition: Path, named: str | None, sets: list[str] | None, store: str) -> tuple[Model, Place]:
    """Return the model of a definition's deploy step, which must be made already, and where it is to answer."""
    from pipelines.plan import plan

    pipeline = loaded(definition, sets)
    steps = {name: job for name, job in pipeline.steps.items() if isinstance(job, Deploy)}
    if (named is None and len(steps) != 1) or (named is not None and named not in steps):
        found = f"has no deploy step '{named}'" if named else f"has {len(steps)} deploy steps"
        raise RequestError(str(definition), found + suggest_or_list(named or "", steps), remedy="name it by --step")
    job = steps[named or next(iter(steps))]
    planned, inputs = plan(pipeline, opened(store)), dict[str, Any]()
    for _, name, kind in references(job):
        record = planned[name].record
        if record is None:
            reasons = "; ".join(planned[name].reasons)
            raise RequestError(f"step '{name}'", f"is not made ({reasons})", remedy=f"espalier run {definition}")
        inputs[name] = kind.load(planned[name].place.artifact(record))
    return inputs[job.model], job.place(inputs, pipeline.name)
