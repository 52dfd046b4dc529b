"""What a Serve configuration file, as of KubeRay's RayService, names to serve a Model artifact."""

from __future__ import annotations

from typing import Any

from ray.serve import Application

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.serving.building import bound
from jobs.serving.plan import Plan, asked_of
from jobs.spec import Spec


class Arguments(Spec):
    """The `args` of the application in the file: the model's folder or URI, and its name in answers."""

    model: str
    name: str = "classifier"
    reject_below: float | None = None


def build(args: dict[str, Any]) -> Application:
    """Return the application; RequestError when `args` name no model that replicas can run.

    How many replicas there are and what they hold, the file says of the deployment `classifier`. It has no keys: only
    the machine it runs on is answered. `espalier deploy --write` writes a file that has.
    """
    asked = Arguments.model_validate(args)
    folder = Folder.parse(asked.model)
    model = Model.load(folder)
    model.require_servable(str(folder))
    version = asked_of(folder, model, asked.reject_below).model_copy(update={"weight": 1.0})
    application: Application = bound(Plan(model=asked.name, versions=[version]), cpus=1)
    return application
