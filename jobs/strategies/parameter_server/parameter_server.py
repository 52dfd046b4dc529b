"""Parameter servers: each worker takes whole train steps on the newest variables it can read, and waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cluster.gang import Role
from cluster.resources import Resources
from jobs.models.backbone import Backbone
from jobs.recipe import Recipe
from jobs.spec import INCIDENTAL
from jobs.strategies.strategy import Engine, Gpus, Place, Strategy

SHARES = 2  # closures that each worker gets of a few train steps: one that gets none waits for the others at the end


def fair(train_steps: int, most: int, workers: int) -> int:
    """Return how many of so many train steps a closure has, `most` at most, so that every worker gets some closures."""
    return min(most, -(-train_steps // (SHARES * workers)))


class ParameterServer(Strategy):
    """ParameterServerStrategy (Li et al., 2014): asynchronous updates of variables that are spread over servers.

    A train step takes a whole global batch in one worker. The coordinator reads the rows and hands them out,
    up to `steps_per_closure` train steps at once; a lost worker's steps are done by the others, on the same rows.
    A training is not repeatable to the bit: which updates a step sees depends on how fast others are.
    """

    kind: Literal["parameter_server"] = "parameter_server"
    has_coordinator: ClassVar[bool] = True

    servers: Annotated[int, Field(ge=1, le=1024, description="Processes that hold the variables; never with GPUs")] = 1
    # Halves, so that two workers, their server and the coordinator find room on two CPUs.
    cpus_per_worker: Annotated[float, INCIDENTAL, Field(gt=0)] = 0.5
    gpus_per_worker: Annotated[Gpus, INCIDENTAL, Field(le=1)] = 0.0
    cpus_per_server: Annotated[float, INCIDENTAL, Field(gt=0)] = 0.5
    cpus_of_coordinator: Annotated[float, INCIDENTAL, Field(gt=0)] = 0.5
    steps_per_closure: Annotated[
        int, Field(ge=1, le=10_000, description="Train steps a worker is given at once, at most; more: fewer calls")
    ] = 50
    in_flight: Annotated[
        int, Field(ge=1, le=64, description="Closures a worker that are read and on their way at the same time")
    ] = 2
    shard_bytes: Annotated[
        int, INCIDENTAL, Field(ge=1, description="Least bytes of a part when a variable is spread over servers")
    ] = 256 << 10

    def roles(self) -> dict[str, Role]:
        """Return what the coordinator starts."""
        return {
            "server": Role(self.servers, Resources(self.cpus_per_server)),
            "worker": Role(self.workers, self.of_worker()),
        }

    def train_resources(self) -> Resources:
        """Return what the coordinator holds."""
        return Resources(self.cpus_of_coordinator)

    def resources(self) -> Resources:
        """Return what coordinator, servers and workers hold together."""
        return sum(self.processes(), Resources())

    def processes(self) -> list[Resources]:
        """Return what coordinator, servers and workers hold each."""
        members = [role.resources for role in self.roles().values() for _ in range(role.count)]
        return [self.train_resources(), *members]

    @contextmanager
    def driving(self, place: Place) -> Iterator[Engine]:
        """Start servers and workers and hand train steps to them; StepError names the one that cannot be done without.

        A worker that is lost is told of, and its train steps are done by the others.
        """
        from jobs.strategies.parameter_server.tasks import connected

        with connected(place, self.roles(), self.shard_bytes) as (strategy, watch):
            from jobs.strategies.parameter_server.engine import Scheduled

            in_flight = self.in_flight * self.workers
            yield Scheduled(strategy, watch, self.workers, self.steps_per_closure, in_flight)

    def problems(self, batch_size: int) -> Iterator[str]:
        """Find nothing wrong: one worker takes a whole global batch."""
        yield from ()

    def refuses(self, backbone: Backbone, recipe: Recipe) -> Iterator[str]:
        """Refuse mixed precision, and modules that bring a graph of their own: neither was shown to work."""
        if (asked := recipe.precision) not in ("auto", "float32"):
            yield f"precision {asked} has not been trained with parameter servers; leave it out, or say float32"
        if not backbone.compressible:
            kind = backbone.model_dump()["kind"]
            yield f"a {kind} module brings its own graph, which has not been run with parameter servers"
