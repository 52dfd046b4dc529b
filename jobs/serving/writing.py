"""The Serve configuration of a model as a file, checked more strictly than Serve does: no key it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.serving.controlling import application, guarded, threads
from jobs.serving.plan import Asked, Plan, asked_of

if TYPE_CHECKING:
    from jobs.serving.application import Place


def serve_file(folder: Folder, model: Model, place: Place) -> str:
    """Return the YAML that `serve deploy` and RayService's `serveConfigV2` take; it holds hashes of keys, no key."""
    import yaml

    if not place.port:
        raise RequestError("port", "is 0, a free one", "the port that whoever deploys the file is to listen on")
    guarded(place, place.host)
    asked = _asked(folder, model, place.reject_below).model_copy(update={"weight": 1.0})
    others = {name: Folder.parse(other) for name, other in place.more.items()}
    plan = Plan(
        model=place.application,
        versions=[asked],
        proven=asked.version,
        more={name: _asked(other, Model.load(other)) for name, other in others.items()},
        limits=place.limits,
        keys=place.keys,
        threads=threads(place),
    )
    document = {
        "http_options": {"host": place.host, "port": place.port},
        "applications": [application(place, plan, {})],
    }
    check(document)
    return yaml.safe_dump(document, sort_keys=False)


def _asked(folder: Folder, model: Model, reject_below: float | None = None) -> Asked:
    model.require_servable(str(folder))
    return asked_of(folder, model, reject_below)


def check(document: dict[str, Any]) -> None:
    """Raise RequestError for what Serve would refuse, or silently leave out."""
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    try:
        read = ServeDeploySchema.model_validate(document).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        raise RequestError("the Serve configuration", str(error)) from None
    if left_out := list(missing(document, read)):
        raise RequestError("the Serve configuration", f"has {', '.join(left_out)}, which Serve does not know")


def missing(written: Any, read: Any, path: str = "") -> Any:
    """Yield the path of each key that is written and was not read."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            place = f"{path}.{key}" if path else str(key)
            if key not in read:
                yield place
            else:
                yield from missing(value, read[key], place)
    elif isinstance(written, list) and isinstance(read, list):
        for index, (one, other) in enumerate(zip(written, read, strict=False)):
            yield from missing(one, other, f"{path}[{index}]")
