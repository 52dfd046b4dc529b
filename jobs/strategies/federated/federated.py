"""Federated averaging (McMahan et al., 2017): rounds of local training by clients that own disjoint rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cluster.resources import Resources
from jobs.models.backbone import Backbone
from jobs.recipe import Recipe, TrainRecipe
from jobs.spec import INCIDENTAL, Spec
from jobs.strategies.federated.messages import Terms
from jobs.strategies.federated.partition import ByRow, Partition
from jobs.strategies.federated.server import FedAvg, Server
from jobs.strategies.strategy import Gpus, Strategy


class Privacy(Spec):
    """Client-level differential privacy: updates clipped to a norm, Gaussian noise on their sum.

    It covers the weights of every round against one client more or less. Clients are drawn by Poisson sampling and send
    nothing beside the clipped update. Noise is drawn in floating point by the coordinator, which is trusted, from a
    secret and not from the seed: the artifact shows that. What is fitted before (a vocabulary) is not covered.
    """

    clip: Annotated[float, Field(gt=0, description="Largest norm of a client's update")]
    noise_multiplier: Annotated[float, Field(gt=0, description="Deviation of the noise, in units of clip")]
    delta: Annotated[float, Field(gt=0, lt=1, description="The δ that ε is told for; well below 1 / workers")]


class Federated(Strategy):
    """Clients, each a process that opens its own training rows alone; an epoch is a round of the drawn ones.

    `workers` is the number of clients. A client trains on batches of `batch_size` of its own rows, from the weights the
    round began with and with a fresh optimizer. Validation rows stay with the coordinator, which also deals the rows
    and fits the preprocessing (a vocabulary) before the first round, and reads no training row in one.
    """

    kind: Literal["federated"] = "federated"
    has_coordinator: ClassVar[bool] = True
    own_rows: ClassVar[bool] = True
    whole_epochs: ClassVar[bool] = True

    # A half, so that two or three clients and the coordinator find room on two CPUs.
    cpus_per_worker: Annotated[float, INCIDENTAL, Field(gt=0)] = 0.5
    gpus_per_worker: Annotated[Gpus, INCIDENTAL, Field(le=1)] = 0.0
    partition: Partition = ByRow()
    fraction: Annotated[float, Field(gt=0, le=1, description="Share of the clients drawn for a round")] = 1.0
    local_epochs: Annotated[int, Field(ge=1, le=10_000, description="Epochs a client trains in a round")] = 1
    server: Server = FedAvg()
    privacy: Privacy | None = None

    def resources(self) -> Resources:
        """Return what the clients and the coordinator hold together."""
        return sum(self.processes(), Resources())

    def train_resources(self) -> Resources:
        """Return what the coordinator holds: it trains nothing."""
        return Resources(self.cpus_per_worker)

    def processes(self) -> list[Resources]:
        """Return what coordinator and clients hold each."""
        return [self.train_resources()] + [self.of_worker()] * self.workers

    def problems(self, batch_size: int) -> Iterator[str]:
        """Yield nothing: each client has batches of its own."""
        yield from ()

    def terms(self) -> Terms:
        """Return what every client is told."""
        clip = self.privacy.clip if self.privacy is not None else None
        return Terms(self.workers, self.local_epochs, self.server.proximal(), clip)

    def hides_speed(self) -> str:
        """With privacy, who was drawn is a secret, and with it the rows of a round."""
        return "" if self.privacy is None else "privacy keeps secret who was drawn, and with it the rows of a round"

    def needs_owners(self) -> bool:
        """Say whether rows are divided by their owners."""
        return self.partition.needs_owners

    def cannot_carry(self, technique: Any) -> Iterator[str]:
        """Refuse what needs all rows in one place, and what does not outlast the mean of clients' weights."""
        kind = technique.model_dump()["kind"]
        yield from (f"{self.kind} cannot carry {kind}: it {text}" for text in technique.uncarried())

    def refuses(self, backbone: Backbone, recipe: Recipe) -> Iterator[str]:
        """Refuse what needs all rows in one place, one optimizer throughout, or more than noise leaves of it."""
        if recipe.class_weights == "balanced":
            yield "class_weights: balanced counts the labels of all rows, which only clients read; give the weights"
        if recipe.checkpoint_every is not None:
            yield "checkpoint_every counts train steps, and a round ends in a checkpoint, whatever steps clients take"
        if isinstance(recipe, TrainRecipe):
            if recipe.ema is not None:
                yield "ema averages weights over train steps, and a client's optimizer starts afresh with every round"
            if recipe.frozen_epochs and self.privacy is not None:
                yield "privacy is accounted for one training, and frozen_epochs make two"
        if backbone.normalises_batches:
            kind = backbone.model_dump()["kind"]
            if recipe.batch_size == 1:
                yield f"{kind} normalises batches, and batches of one row are all zeros then; raise batch_size"
            if self.privacy is not None:
                yield f"{kind} normalises batches, and noise would make variances of its averages negative"

    def drive(self, work: Any, keeper: Any, name: str) -> None:
        """Start the clients and let them and this process do the work."""
        from jobs.strategies.federated.hub import Hub
        from jobs.strategies.federated.rounds import federate

        federate(self, work, keeper, name, Hub)
