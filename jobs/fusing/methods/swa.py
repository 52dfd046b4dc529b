"""Stochastic weight averaging: the mean of where training on at a lively rate comes by (Izmailov et al., 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cluster.resources import Resources
from jobs.data.augment import problems
from jobs.fusing.methods.method import FuseMethod, Fusing
from jobs.job import Job, Output
from jobs.models.model import ModelSpec
from jobs.recipe import Recipe, TrainRecipe
from jobs.spec import Path
from jobs.strategies import DEFAULT, Strategy

if TYPE_CHECKING:
    from jobs.kinds.fuse import Fuse

TOGETHER = (
    "averages weights at the end of epochs, which all workers must come to together: take a strategy without a "
    "coordinator"
)
ANY = 0.5  # a moving average's momentum, which gives way to that of a plain mean


class Swa(Recipe, FuseMethod):
    """Train the one member on for `epochs` at a constant rate, and average its weights with those of each epoch's end.

    The members of this soup are epochs of one training, which all start from the same place: nothing but the mean is
    kept of them, in the optimizer's state, so that a training that is interrupted goes on with it. Averages of batch
    normalisation are taken anew for the mean.
    """

    kind: Literal["swa"] = "swa"
    fewest = most = 1
    trains = True
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 5
    schedule: Literal["constant", "cosine", "piecewise"] = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1, description="Share of the train steps the rate rises over")] = 0.0
    strategy: Strategy = DEFAULT

    def resources(self) -> Resources:
        """Return what all workers hold together."""
        return self.strategy.resources()

    def processes(self) -> list[Resources]:
        """Return what each process of the strategy holds."""
        return self.strategy.processes()

    def recipe(self) -> TrainRecipe:
        """Return how the training goes on."""
        fields = {name: getattr(self, name) for name in Recipe.model_fields}
        return TrainRecipe.model_validate(fields | {"ema": ANY})

    def problems(self, specs: Sequence[ModelSpec]) -> Iterator[tuple[Path, str]]:
        """Check the batch and the backbone against the strategy, which must keep one optimizer for all epochs."""
        backbone, place = specs[0].backbone, ("method", "strategy")
        for text in [*self.strategy.problems(self.batch_size), *self.strategy.refuses(backbone, self.recipe())]:
            yield place, text
        if self.strategy.has_coordinator or self.strategy.divides_models:
            yield place, TOGETHER
        for number, text in problems(self.augment, backbone.modality, backbone.runtime == "tensorflow"):
            yield ("method", "augment", number), text

    def run(self, work: Fusing, out: Output, job: Job) -> None:
        """Train on the cluster."""
        from jobs.fusing.swing import SwaWork
        from jobs.strategies.ray_train import Group, run

        fuse: Fuse = job  # type: ignore[assignment]
        group = Group(
            SwaWork(self, work), self.strategy, out.folder.name, out.checkpoints, fuse.retries, fuse.keep
        )  # fmt: skip
        run(group, out)
