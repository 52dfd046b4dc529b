"""The `compress` job: a chain of techniques over a trained model, ending in a LiteRT file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Dataset, Model
from jobs.job import Inputs, Job, Output, mismatch
from jobs.spec import INCIDENTAL, Path, Ref
from jobs.strategies import DEFAULT, Strategy
from jobs.techniques import Technique


class Compress(Job):
    """Run `techniques` in order, fine-tuning where a technique needs it, under the strategy."""

    job: Literal["compress"] = "compress"
    produces = Model
    retries_itself = True

    model: Annotated[str, Ref(Model)]
    data: Annotated[str, Ref(Dataset)]
    techniques: Annotated[list[Technique], Field(min_length=1, max_length=16)]
    strategy: Strategy = DEFAULT
    keep: Annotated[int, INCIDENTAL, Field(ge=1, le=1000, description="Checkpoints kept")] = 2

    def resources(self) -> Resources:
        """Return what all workers hold together."""
        return self.strategy.resources()

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check the chain: what may follow what, on the model's backbone, under the strategy."""
        yield from mismatch(("model",), steps, self.model, self.data)
        spec = self.model_spec(steps)
        for index, technique in enumerate(self.techniques):
            place = ("techniques", index)
            if spec is not None:
                yield from ((place, text) for text in technique.unfit(spec.backbone))
                for text in technique.legal(self.techniques[:index], spec.backbone, self.strategy):
                    yield place, text
            recipe = technique.recipe()
            for text in self.strategy.problems(recipe.batch_size) if recipe else ():
                yield place, text

    def model_spec(self, steps: Mapping[str, Job]) -> Any:
        """Return the spec of the model that is compressed."""
        step: Job | None = self
        while isinstance(step, Compress):  # references were checked: no circle
            step = steps.get(step.model)
        return step.model_spec(steps) if step is not None else None

    def run(self, inputs: Inputs, out: Output) -> Model:
        """Run the chain on the cluster."""
        from jobs.compressing import CompressWork
        from jobs.strategies.ray_train import Group, run_group

        model, data = inputs[self.model].folder, inputs[self.data].folder
        work = CompressWork(self.techniques, self.strategy, model, data, out.folder)
        group = Group(work, self.strategy, out.folder.name, out.checkpoints, self.retries, self.keep)
        run_remote(run_group, group, resources=Resources(), tell=out.tell, stop=out.stop)
        return Model.load(out.folder)
