"""The `compress` job: a chain of techniques over a trained model, ending in a LiteRT file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.resources import Resources
from jobs.artifacts import Dataset, Model
from jobs.budget.within import Within
from jobs.data import files
from jobs.data.augment import problems
from jobs.job import Inputs, Job, Output, mismatch, ownerless, too_small
from jobs.spec import INCIDENTAL, Path, Ref
from jobs.strategies import DEFAULT, Strategy
from jobs.strategies.imports import TRAINING
from jobs.sweeping.space import conditions, in_chain, outside, value_at
from jobs.sweeping.trials import Trials
from jobs.teaching.sizes import outgrown
from jobs.techniques import Teaches, Technique
from jobs.techniques.legality import nearest, refusals


class Compress(Job):
    """Run `techniques` in order, fine-tuning where a technique needs it, under the strategy."""

    job: Literal["compress"] = "compress"
    produces = Model
    retries_itself = True
    imports = TRAINING

    model: Annotated[str, Ref(Model)]
    data: Annotated[str, Ref(Dataset)]
    techniques: Annotated[list[Technique], Field(max_length=16)] = []
    variant: Annotated[
        Literal["fastest", "smallest", "most_accurate"] | None,
        Field(description="Serve the best of the float32, float16, dynamic and int8 files, as measured on the host"),
    ] = None
    exports: Annotated[
        list[Literal["saved_model", "onnx"]],
        Field(description="Files beside the served one, not quantized, verified on validation rows"),
    ] = []
    within: Annotated[
        Within | None, Field(description="A promise to keep: parts of the chain, and values, are tried until it is")
    ] = None
    strategy: Strategy = DEFAULT
    best_of: Annotated[
        Annotated[str, Ref(Trials)] | None, Field(description="A sweep: its winner's values replace this step's own")
    ] = None
    keep: Annotated[int, INCIDENTAL, Field(ge=1, le=1000, description="Checkpoints kept")] = 2

    def resources(self) -> Resources:
        """Return what all workers hold together."""
        return self.strategy.resources()

    def processes(self) -> list[Resources]:
        """Return what each process of the strategy holds."""
        return self.strategy.processes()

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check the chain: what may follow what, on the model's backbone, under the strategy."""
        yield from mismatch(("model",), steps, self.model, self.data)
        yield from ownerless(self.strategy, steps, self.data)
        spec = given = self._given(steps)
        for index, technique in enumerate(self.techniques):
            place, before = ("techniques", index), self.techniques[:index]
            backbone = None if spec is None else spec.backbone
            yield from ((place, text) for text in refusals(technique, before, backbone, self.strategy))
            if isinstance(technique, Teaches):
                spec = technique.learner()
                wrong = [*too_small(steps, spec.backbone, self.data), *spec.backbone.problems()]
                yield from (((*place, "student", "backbone"), text) for text in wrong)
            recipe = technique.recipe()
            if recipe is not None and spec is not None:
                learner = spec.backbone
                for number, text in problems(recipe.augment, learner.modality, learner.runtime == "tensorflow"):
                    yield (*place, "augment", number), text
        found = self.techniques if given is None else nearest(self.techniques, given.backbone, self.strategy)
        if found and found != self.techniques:
            names = ", ".join(str(technique.model_dump()["kind"]) for technique in found)
            yield ("techniques",), f"the nearest chain that may be: {names}"

        yield from self._about_files(spec)
        yield from ((("within", *path), text) for path, text in self._about_budget())

    def warnings(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Tell of a student that is no smaller than its teacher, as far as both can be counted without being built."""
        spec = self._given(steps)
        for index, technique in enumerate(self.techniques):
            if isinstance(technique, Teaches):
                student = technique.learner()
                if spec is not None and (text := outgrown(student.backbone, spec.backbone)):
                    yield ("techniques", index, "student"), text
                spec = student

    def _about_files(self, spec: Any) -> Iterator[tuple[Path, str]]:
        """Check what is to be made beside, or instead of, what the chain makes."""
        if not self.techniques and not self.variant and not self.exports:
            yield ("techniques",), "is empty, and nothing else is asked for; name a technique, variant or exports"
        if "onnx" in self.exports and find_spec("tf2onnx") is None:
            yield ("exports",), "onnx is an extra: pip install 'espalier-ray[onnx]'"
        if self.variant is None:
            return
        from jobs.techniques.variants import variants

        if any(technique.shapes_file and technique.recipe() is None for technique in self.techniques):
            text = (
                "makes its own files of the model, and the chain makes another; leave quantize out, or set aware: true"
            )
            yield ("variant",), text
        for own in variants().values():
            for technique in own:
                wrong = [*self.strategy.cannot_carry(technique), *(technique.unfit(spec.backbone) if spec else ())]
                yield from ((("variant",), text) for text in wrong)

    def _about_budget(self) -> Iterator[tuple[Path, str]]:
        """Check what is drawn while a promise is sought to be kept."""
        if self.within is None:
            return
        if not self.techniques:
            yield (), "needs techniques, parts of which are tried"
        if self.strategy.has_coordinator:
            yield (), "tries chains that every worker takes part in: take a strategy without a coordinator"
        for field in ("best_of", "variant"):
            if getattr(self, field) is not None:
                yield (), f"chooses a chain by itself; leave {field} out"
        for name, distribution in self.within.space.items():
            wrong = "" if in_chain(name) else "lies in no technique; name one as techniques[0].sparsity"
            if wrong := wrong or value_at(self, name)[1] or outside(self, name, distribution):
                yield ("space", name), wrong
        yield from ((("space", *path), text) for path, text in conditions(self.within.space))
        yield from ((("searcher",), text) for text in self.within.searcher.problems(self.within.space))

    def digest(self, memo: Callable[[Any], str]) -> str:
        """Return the digest of the weights students start from."""
        for path in self._reads():
            files.require(path)
        return "\n".join(memo(path) for path in self._reads())

    def model_spec(self, steps: Mapping[str, Job]) -> Any:
        """Return the spec of the model that comes out: the last student, or the model that is compressed."""
        learners = [technique.learner() for technique in self.techniques if isinstance(technique, Teaches)]
        return learners[-1] if learners else self._given(steps)

    def _given(self, steps: Mapping[str, Job]) -> Any:
        step = steps.get(self.model)
        return step.model_spec(steps) if step is not None else None  # references were checked: no circle

    def _reads(self) -> list[str]:
        learners = [technique.learner() for technique in self.techniques if isinstance(technique, Teaches)]
        return [path for learner in learners for path in learner.backbone.inputs()]

    def run(self, inputs: Inputs, out: Output) -> Model:
        """Run the chain on the cluster, with the values of the trial that won if there was a sweep."""
        if self.best_of is not None:
            from jobs.sweeping.space import best

            return best(self, self.best_of, inputs[self.best_of], out.tell, chain=True).run(inputs, out)
        from jobs.compressing import CompressWork
        from jobs.strategies.ray_train import Group, run

        model, data = inputs[self.model].folder, inputs[self.data].folder
        techniques = [technique.located(FilePath.cwd()) for technique in self.techniques]
        work: Any = CompressWork(techniques, self.strategy, model, data, out.folder, self.variant, tuple(self.exports))
        if self.within is not None:
            from jobs.budget.trying import BudgetWork

            work = BudgetWork(work, self.within, out.step)
        group = Group(work, self.strategy, out.folder.name, out.checkpoints, self.retries, self.keep)
        run(group, out)
        small = Model.load(out.folder)
        out.tell({"compression_ratio": round(inputs[self.model].size_bytes / small.size_bytes, 4)})
        return small
