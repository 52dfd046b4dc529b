"""What a way to fuse models is: what it refuses, the model that comes out, and how it is made on validation rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cluster.folder import Folder
from cluster.resources import Resources
from jobs.artifacts import Rewrite
from jobs.job import Job, Output
from jobs.models.model import ModelSpec
from jobs.spec import Choice, Path

if TYPE_CHECKING:
    from jobs.fusing.members import Members


@dataclass(frozen=True)
class Fusing:
    """What is fused: members' folders by step, the data they learnt from, and the folder that the model goes into."""

    members: dict[str, Folder]
    data: Folder
    out: Folder


@dataclass(frozen=True)
class Made:
    """What came of fusing: the model, its weights by name, how much each member counts, and its rewritten layers."""

    spec: ModelSpec
    weights: dict[str, Any]
    shares: list[float]
    rewrites: Sequence[Rewrite] = ()


class FuseMethod(Choice):
    """The family of ways to fuse models."""

    fewest: ClassVar[int] = 2  # members
    most: ClassVar[int] = 64
    trains: ClassVar[bool] = False  # it trains, in workers that start again by themselves

    def resources(self) -> Resources:
        """Return what is held while it works."""
        return Resources(cpus=1)

    def processes(self) -> list[Resources]:
        """Return what each of several processes holds that must be there at once."""
        return []

    def problems(self, specs: Sequence[ModelSpec]) -> Iterator[tuple[Path, str]]:
        """Yield what is wrong with fusing models of `specs`, as far as the definition tells them."""
        yield from ()

    def spec(self, specs: Sequence[ModelSpec]) -> ModelSpec:
        """Return the model that comes of models of `specs`."""
        return specs[0]

    def run(self, work: Fusing, out: Output, job: Job) -> None:
        """Do the work in a process of its own; `job` says how patiently."""
        from cluster.environment import training_variables
        from cluster.work import run_remote
        from jobs.fusing.fuse import fuse

        run_remote(
            fuse, self, work, resources=self.resources(), tell=out.tell, stop=out.stop,
            variables=training_variables(), ends=True, warm=True,
        )  # fmt: skip

    def fuse(self, members: Members) -> Made:
        """Make one model of `members`; in a process that has TensorFlow."""
        raise NotImplementedError
