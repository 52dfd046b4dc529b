"""A job: a frozen spec that runs itself. It is given artifacts and a place for its work, and returns an artifact."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.starting.warm_start import Imports
from jobs.artifacts import Artifact
from jobs.spec import INCIDENTAL, Choice, Path, Ref

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """Where a job's work goes: the folder it fills, the one its checkpoints outlive a failure in, whom it tells."""

    step: str
    folder: Folder
    checkpoints: Folder
    tell: Callable[[dict[str, Any]], None]
    stop: threading.Event = field(default_factory=threading.Event)
    definition: str = ""  # its name: what the job calls things on a cluster that others use too


class Job(Choice):
    """The family of jobs. A member says what it `produces` and how to `run`; the rest has a sensible default."""

    tag: ClassVar[str] = "job"
    produces: ClassVar[type[Artifact]]
    version: ClassVar[int] = 1  # raise it when the same definition makes something else: older results are not reused
    retries_itself: ClassVar[bool] = False
    imports: ClassVar[Imports | None] = None  # what its workers import: they start warm

    after: Annotated[list[Annotated[str, Ref(Artifact)]], Field(description="Steps that must be done before")] = []
    timeout: Annotated[
        float | None,
        INCIDENTAL,
        Field(gt=0, description="Seconds one attempt may take; of training, with all restarts of workers"),
    ] = None
    retries: Annotated[
        Annotated[int, Field(ge=0, le=100)] | Literal["unlimited"],
        INCIDENTAL,
        Field(description="Attempts after the first; of training, restarts of its workers, preemptions not counted"),
    ] = 0

    def run(self, inputs: Inputs, out: Output) -> Artifact:
        """Do the work: read `inputs` (artifacts by step name), fill `out.folder`, return the facts."""
        raise NotImplementedError

    def resources(self) -> Resources:
        """Return what the step holds at once while it runs."""
        return Resources(cpus=1)

    def processes(self) -> list[Resources]:
        """Return what each process of a step holds that must be there at once; empty where they may take turns."""
        return []

    def at_once(self, room: Resources | None) -> int:
        """Return how many times over a step may hold that at once where there is `room`: once, if not of trials."""
        return 1

    def keeps(self) -> Resources:
        """Return what stays held on the cluster once the step is done."""
        return Resources()

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Yield (field path, what is wrong) for what only the whole definition can tell."""
        yield from ()

    def warnings(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Yield (field path, what is odd) for what may be meant so, and most likely is not; `problems` yielded none."""
        yield from ()

    def modality(self) -> str | None:
        """Return the modality of the rows a data set step makes; None for other jobs."""
        return None

    def tells_owners(self) -> bool:
        """Say whether the rows a data set step makes come with whose they are."""
        return False

    def image_side(self) -> int | None:
        """Return the shorter side of the images a data set step makes, in pixels, as far as the definition tells."""
        return None

    def model_spec(self, steps: Mapping[str, Job]) -> Any:
        """Return the ModelSpec of the model a step makes, as far as the definition tells; None for other jobs."""
        return None

    def afterword(self, made: Folder, inputs: Mapping[str, Folder], ended: bool) -> str:
        """Return what a person may do with what the step made, if that is not plain to see; empty when it is.

        `made` and `inputs` are artifacts' folders; `ended` says that the cluster the step ran on has ended.
        """
        return ""

    def gone(self, made: Folder) -> str:
        """Say what the step left running on a lasting cluster and is not there any more; empty when all is there."""
        return ""

    def digest(self, memo: Callable[[Any], str]) -> str:
        """Return a digest of the data the job reads from outside; `memo` hashes a path and remembers it."""
        return ""


def mismatch(path: Path, steps: Mapping[str, Job], model: str, data: str) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong when the model step `model` reads rows of another modality than the step `data` makes."""
    if model not in steps or data not in steps:
        return
    spec, found = steps[model].model_spec(steps), steps[data].modality()
    if spec is not None and found is not None and spec.backbone.modality != found:
        yield path, f"'{model}' reads {spec.backbone.modality} rows, but step '{data}' makes {found} rows"


def too_small(steps: Mapping[str, Job], backbone: Any, data: str) -> Iterator[str]:
    """Yield what is wrong when the images of the step `data` are smaller than those `backbone` reads."""
    side = steps[data].image_side() if data in steps else None
    if side is not None and side < backbone.smallest:
        yield f"reads images of {backbone.smallest} pixels a side or more, but step '{data}' makes some of {side}"


def ownerless(strategy: Any, steps: Mapping[str, Job], data: str) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong when `strategy` must know whose each row is and the step `data` does not tell."""
    if strategy.needs_owners() and data in steps and not steps[data].tells_owners():
        yield ("strategy", "partition"), f"goes by whose rows are, which step '{data}' does not tell: set source.client"
