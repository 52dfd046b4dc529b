"""The `deploy` job: puts a model behind Ray Serve."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cluster.errors import StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import SERVABLE, UNSERVABLE, Endpoint, Model, Report
from jobs.job import Inputs, Job, Output
from jobs.serving.canary import Canary, Shadow
from jobs.serving.keys import HashedKey, Key
from jobs.serving.limits import Limits
from jobs.serving.scale import Scale
from jobs.spec import INCIDENTAL, Path, Ref
from jobs.strategies.strategy import Label, LabelName

if TYPE_CHECKING:
    from jobs.serving.application import Place

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Deploy(Job):
    """Serve a model over HTTP and gRPC; done once a real request got the answer the file gives offline.

    On a long-lived cluster the application stays; on one the run started itself, it ends with the run. Where it serves
    another version, the new one is first tried in a replica of its own, then gets its requests as `canary` says.
    """

    job: Literal["deploy"] = "deploy"
    produces = Endpoint

    model: Annotated[str, Ref(Model)]
    also: Annotated[
        list[Annotated[str, Ref(Model)]],
        Field(max_length=64, description="Other models it answers for, each by its step's name"),
    ] = []
    application: Annotated[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] | None,
        Field(description="Its name on the cluster; none: the definition's"),
    ] = None
    reject_below: Annotated[
        float | None, Field(gt=0, le=1, description="Probability under which the answer is no label, but null")
    ] = None
    reject_by: Annotated[
        Annotated[str, Ref(Report)] | None, Field(description="Evaluate step whose threshold reject_below is to be")
    ] = None
    host: Annotated[
        str, INCIDENTAL, Field(description="Address to listen on; not given, that of a Serve that runs")
    ] = "127.0.0.1"
    port: Annotated[
        int, INCIDENTAL, Field(ge=0, le=65535, description="0 takes a free one; not given, that of a Serve that runs")
    ] = 8000
    route: Annotated[
        str, INCIDENTAL, Field(pattern=r"^/([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)?$", description="Path it answers under")
    ] = "/"
    grpc_port: Annotated[
        int | None, INCIDENTAL, Field(ge=1, le=65535, description="Of the Open Inference Protocol over gRPC; none: off")
    ] = None
    keys: Annotated[
        list[Key], INCIDENTAL, Field(description="Keys that requests may carry; none: this machine only")
    ] = []
    keys_file: Annotated[str | None, INCIDENTAL, Field(description="File of hashed keys, a line each")] = None
    limits: Annotated[Limits, INCIDENTAL, Field(description="What requests may ask for")] = Limits()
    shadow: Annotated[
        Shadow | None,
        INCIDENTAL,
        Field(description="How a new version is first asked what the old one answered; none: it is not"),
    ] = None
    canary: Annotated[
        Canary | None, INCIDENTAL, Field(description="How a new version gets its requests; none: all at once")
    ] = None
    slower: Annotated[
        float, INCIDENTAL, Field(ge=1, le=1000, description="Times a golden row may take what the old version takes")
    ] = 2.0
    golden_ms: Annotated[
        float | None, INCIDENTAL, Field(gt=0, description="Most milliseconds a new version may take for a golden row")
    ] = None
    replicas: Annotated[int, INCIDENTAL, Field(ge=1, le=1000, description="With scale: those it begins with")] = 1
    scale: Annotated[
        Scale | None, INCIDENTAL, Field(description="Replicas by how much is asked; none: always as many")
    ] = None
    cpus_per_replica: Annotated[float, INCIDENTAL, Field(gt=0)] = 1.0
    labels: Annotated[
        dict[LabelName, Label], INCIDENTAL, Field(description="Labels that the replicas' nodes have")
    ] = {}

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Refuse an open door, a model replicas cannot run, a threshold given twice or by a step that chooses none."""
        if self.host not in LOOPBACK and not self.keys and self.keys_file is None:
            yield ("host",), f"{self.host} is reached from other machines: set keys or keys_file"
        if self.scale is not None and not self.scale.least <= self.replicas <= self.scale.most:
            least, most = self.scale.least, self.scale.most
            yield ("scale",), f"{self.replicas} replicas at first are not from {least} to {most}: set replicas"
        names = [key.name for key in self.keys]
        if len(names) != len(set(names)):
            yield ("keys",), "two keys have one name"
        for place, name in ((("model",), self.model), *((("also", i), one) for i, one in enumerate(self.also))):
            spec = steps[name].model_spec(steps) if name in steps else None
            if spec is not None and spec.backbone.runtime != "litert":
                yield place, f"'{name}' {UNSERVABLE}; {SERVABLE}"
        if len({self.model, self.application, *self.also}) < len({self.model, self.application}) + len(self.also):
            yield ("also",), "names a model twice, the step of model, or one called as the application"
        if self.reject_by is None:
            return
        if self.reject_below is not None:
            yield ("reject_by",), "gives the threshold twice: reject_below does too"
        fields = steps[self.reject_by].model_dump() if self.reject_by in steps else None
        if fields is not None and (fields.get("reject") is None or self.model not in fields.get("models", [])):
            yield ("reject_by",), f"step '{self.reject_by}' chooses no threshold for '{self.model}': set its reject"

    def resources(self) -> Resources:
        """Return what all replicas hold together."""
        return Resources(self.replicas * self.cpus_per_replica)

    def processes(self) -> list[Resources]:
        """Return what each replica holds, and the labels its node must have, where it must have any."""
        each = Resources(self.cpus_per_replica, labels=tuple(sorted(self.labels.items())))
        return [each] * self.replicas if self.labels else []

    def keeps(self) -> Resources:
        """Return what the replicas go on holding."""
        return self.resources()

    def gone(self, made: Folder) -> str:
        """Ask the endpoint for the version it serves."""
        import urllib.request  # with it comes ssl, a tenth of the time a cached run takes

        endpoint = Endpoint.load(made)
        try:
            with urllib.request.urlopen(f"{endpoint.url}/health", timeout=5) as answer:
                version = json.load(answer).get("version")
        except (OSError, ValueError):
            return f"nothing answers at {endpoint.url}"
        served = endpoint.answer.get("version")
        return "" if version == served else f"{endpoint.url} serves version {version}, not {served}"

    def run(self, inputs: Inputs, out: Output) -> Endpoint:
        """Deploy, ask one real request, and check its answer."""
        from jobs.serving.application import deploy

        place = self.place(inputs, out.definition)
        facts = run_remote(
            deploy, inputs[self.model].folder, place, resources=Resources(), tell=out.tell, stop=out.stop
        )
        return Endpoint.model_validate(facts)

    def place(self, inputs: Inputs, definition: str) -> Place:
        """Return where the application answers, what it takes, and how it is replaced."""
        from jobs.serving.application import Place

        application = self.application or definition
        if application in self.also:
            raise StepError("also", f"names '{application}', as the application is called", remedy="set application")
        return Place(
            application=application,
            host=self.host,
            port=self.port,
            replicas=self.replicas,
            cpus=self.cpus_per_replica,
            reject_below=self._threshold(inputs),
            route=self.route,
            grpc_port=self.grpc_port,
            more={name: str(inputs[name].folder) for name in self.also},
            keys=self._keys(),
            limits=self.limits,
            shadow=self.shadow,
            canary=self.canary,
            slower=self.slower,
            golden_ms=self.golden_ms,
            scale=self.scale,
            insists=sorted({"host", "port"} & self.model_fields_set),
            labels=self.labels,
        )

    def _keys(self) -> list[HashedKey]:
        """Return the keys as hashes: what is secret does not leave this process."""
        from pathlib import Path as FilePath

        from jobs.serving.keys import hashed_key, read_keys

        kept = [] if self.keys_file is None else read_keys(FilePath(self.keys_file))
        return [*map(hashed_key, self.keys), *kept]

    def _threshold(self, inputs: Inputs) -> float | None:
        if self.reject_by is None:
            return self.reject_below
        threshold: float = inputs[self.reject_by].evaluations[self.model]["reject"]["threshold"]
        return threshold

    def afterword(self, made: Folder, inputs: Mapping[str, Folder], ended: bool) -> str:
        """Say where it answers, or how to have it answer again."""
        if ended:
            again = shlex.join(["espalier", "serve", str(inputs[self.model])])
            return f"the endpoint ended with the cluster of its run; to serve the model again: {again}"
        return f"{Endpoint.load(made).url} answers as long as its cluster runs"
