"""What a replica is to serve: the versions it holds, what share of requests each answers, limits and keys.

It travels as Serve's `user_config`: replicas that start read it, those that run are changed without a restart. It holds
no secret: keys are hashes.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.serving.keys import HashedKey
from jobs.serving.limits import Limits
from jobs.spec import Spec

KEPT_EVENTS = 50
SHOWN = 12  # characters of a SHA-256 that are shown, and that name a version


class Asked(Spec):
    """One version: where its artifact lies, what its files' SHA-256 are, and its share of requests."""

    folder: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of the file that is served
    files: dict[str, str] = {}  # SHA-256 of the others that answers depend on
    reject_below: float | None = None
    weight: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def version(self) -> str:
        """The name of the version: of all that its answers depend on, so that what answers otherwise has another."""
        return _named(self.sha256, tuple(sorted(self.files.items())), self.reject_below)


@lru_cache(maxsize=1024)
def _named(sha256: str, files: tuple[tuple[str, str], ...], reject_below: float | None) -> str:
    return hashlib.sha256(json.dumps([sha256, files, reject_below]).encode()).hexdigest()[:SHOWN]


def asked_of(folder: Folder, model: Model, reject_below: float | None = None) -> Asked:
    """Return the model in `folder` as a version that answers nothing yet, with its files as they are now."""
    others = ("artifact.json", *model.preprocess.files())
    return Asked(
        folder=str(folder),
        sha256=folder.sha256(model.served),
        files={name: folder.sha256(name) for name in others},
        reject_below=reject_below,
    )


class Shadowing(Spec):
    """Which version is asked what another one answered, and of which share of the requests."""

    version: str
    share: Annotated[float, Field(gt=0, le=1)]


class Event(Spec):
    """What was done with a version, when, and why."""

    at: str
    what: str  # deployed, shadow, canary, promoted, rolled back, refused
    version: str
    reason: str = ""
    facts: dict[str, Any] = {}


class Plan(Spec):
    """All of it. The weights of `versions` sum to 1; one of weight 0 is kept to go back to.

    The version that is `proven` answers whatever another fails at. `more` are other models, by their names, that the
    application answers for, too: a version of each. Of plans that differ the one of the highest `revision` holds.
    """

    model: str
    versions: list[Asked] = []
    proven: str = ""
    shadow: Shadowing | None = None
    more: dict[str, Asked] = {}
    limits: Limits = Limits()
    keys: list[HashedKey] = []
    threads: int = 1
    error_share: Annotated[float, Field(ge=0, le=1)] = 0.01  # of its requests that a version on trial may fail
    revision: int = 0
    history: list[Event] = []

    def serving(self) -> Asked | None:
        """Return the version that is proven, else the one most requests go to; None where there is none."""
        heaviest = max(self.versions, key=lambda asked: asked.weight, default=None)
        return self.asked(self.proven) or heaviest

    def asked(self, version: str) -> Asked | None:
        """Return the version of this name."""
        return next((asked for asked in self.versions if asked.version == version), None)

    def of(self, name: str) -> Plan:
        """Return the plan of one of the other models alone."""
        asked = self.more[name].model_copy(update={"weight": 1.0})
        none: dict[str, Any] = {"shadow": None, "more": {}, "history": []}
        return self.model_copy(update={"model": name, "versions": [asked], "proven": asked.version, **none})

    def weighing(self, weights: dict[str, float]) -> Plan:
        """Return the plan with these shares by version; those not named get none."""
        versions = [one.model_copy(update={"weight": weights.get(one.version, 0.0)}) for one in self.versions]
        return self.model_copy(update={"versions": versions})

    def proving(self, version: str) -> Plan:
        """Return the plan in which one version is proven and answers everything, without a shadow."""
        return self.weighing({version: 1.0}).model_copy(update={"proven": version, "shadow": None})

    def holding(self, asked: Asked) -> Plan:
        """Return the plan with one more version, in place of one of the same name."""
        others = [one for one in self.versions if one.version != asked.version]
        return self.model_copy(update={"versions": [*others, asked]})

    def noting(self, event: Event) -> Plan:
        """Return the plan with one more event, which takes the place of those before it."""
        history = [*self.history, event][-KEPT_EVENTS:]
        return self.model_copy(update={"history": history, "revision": self.revision + 1})
