"""The `train` job: a model, trained on a data set under a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.resources import Resources
from jobs.artifacts import Dataset, Model
from jobs.data import files
from jobs.data.augment import problems
from jobs.job import Inputs, Job, Output, ownerless, too_small
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.spec import INCIDENTAL, Path, Ref
from jobs.strategies import DEFAULT, Strategy
from jobs.strategies.imports import TRAINING
from jobs.sweeping.trials import Trials


class Train(TrainRecipe, Job):
    """Train a backbone and its head; ends in weights, history and a float32 LiteRT file."""

    job: Literal["train"] = "train"
    produces = Model
    retries_itself = True
    imports = TRAINING

    data: Annotated[str, Ref(Dataset)]
    model: ModelSpec
    strategy: Strategy = DEFAULT
    best_of: Annotated[
        Annotated[str, Ref(Trials)] | None,
        Field(description="A sweep or search, whose winner's values replace this step's"),
    ] = None
    keep: Annotated[int, INCIDENTAL, Field(ge=1, le=1000, description="Checkpoints kept")] = 2

    def resources(self) -> Resources:
        """Return what all workers hold together."""
        return self.strategy.resources()

    def processes(self) -> list[Resources]:
        """Return what each process of the strategy holds."""
        return self.strategy.processes()

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check the batch against the strategy, and the backbone against the data and the augmentations."""
        for text in self.strategy.problems(self.batch_size):
            yield ("strategy",), text
        for text in self.strategy.refuses(self.model.backbone, self):
            yield ("strategy",), text
        yield from ownerless(self.strategy, steps, self.data)
        found = steps[self.data].modality() if self.data in steps else None
        wanted = self.model.backbone.modality
        if found is not None and found != wanted:
            yield ("model", "backbone"), f"reads {wanted} rows, but step '{self.data}' makes {found} rows"
        for text in too_small(steps, self.model.backbone, self.data):
            yield ("model", "backbone"), text
        for index, text in problems(self.augment, wanted, self.model.backbone.runtime == "tensorflow"):
            yield ("augment", index), text
        for text in self.model.backbone.problems():
            yield ("model", "backbone"), text

    def digest(self, memo: Callable[[Any], str]) -> str:
        """Return the digest of the weights the backbone starts from."""
        for path in self.model.backbone.inputs():
            files.require(path)
        return "\n".join(memo(path) for path in self.model.backbone.inputs())

    def model_spec(self, steps: Mapping[str, Job]) -> ModelSpec:
        """Return the model trained."""
        return self.model

    def recipe(self) -> TrainRecipe:
        """Return how the model is trained, without what and where."""
        return TrainRecipe.model_validate({name: getattr(self, name) for name in TrainRecipe.model_fields})

    def located(self) -> ModelSpec:
        """Return the model with the paths it reads made absolute, for processes that work elsewhere."""
        return self.model.model_copy(update={"backbone": self.model.backbone.located(FilePath.cwd())})

    def run(self, inputs: Inputs, out: Output) -> Model:
        """Train on the cluster, with the values of the trial that won if there was a sweep."""
        if self.best_of is not None:
            from jobs.sweeping.space import best

            return best(self, self.best_of, inputs[self.best_of], out.tell, chain=False).run(inputs, out)
        from jobs.strategies.ray_train import Group, run
        from jobs.training import TrainWork

        work = TrainWork(self.located(), self.recipe(), self.strategy, inputs[self.data].folder, out.folder)
        group = Group(work, self.strategy, out.folder.name, out.checkpoints, self.retries, self.keep)
        run(group, out)
        return Model.load(out.folder)
