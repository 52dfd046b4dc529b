"""The `evaluate` job: judges served files on the test split, and holds them to what is required."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.errors import StepError
from cluster.work import run_remote
from jobs.artifacts import Dataset, Model, Report
from jobs.job import Inputs, Job, Output, mismatch
from jobs.spec import Path, Ref, Spec

SLACK = 1e-9  # 0.97 is not 0.01 below 0.98 in binary


class Require(Spec):
    """Thresholds one model must meet; those left out are not checked."""

    accuracy: Annotated[float | None, Field(ge=0, le=1, description="At least")] = None
    accuracy_drop: Annotated[float | None, Field(ge=0, le=1, description="At most, below the first model")] = None
    macro_f1: Annotated[float | None, Field(ge=0, le=1, description="At least")] = None
    size_bytes: Annotated[int | None, Field(gt=0, description="At most")] = None
    size_share: Annotated[float | None, Field(gt=0, description="At most, of the first model's bytes")] = None
    p99_ms: Annotated[float | None, Field(gt=0, description="At most")] = None


class Evaluate(Job):
    """Judge the served file of each model: accuracy, macro-F1, per class, bytes, latency of one row."""

    job: Literal["evaluate"] = "evaluate"
    produces = Report

    models: Annotated[list[Annotated[str, Ref(Model)]], Field(min_length=1, max_length=64)]
    data: Annotated[str, Ref(Dataset)]
    require: dict[str, Require] = {}

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check that requirements are of models that are judged."""
        for index, name in enumerate(self.models):
            if name in self.models[:index]:
                yield ("models", index), f"'{name}' is judged already"
            yield from mismatch(("models", index), steps, name, self.data)
        for name in self.require:
            if name not in self.models:
                yield ("require", name), f"'{name}' is not among the models judged: {', '.join(self.models)}"

    def run(self, inputs: Inputs, out: Output) -> Report:
        """Judge in a worker process; StepError names every threshold that was missed."""
        from jobs.judging import judge

        folders = {name: inputs[name].folder for name in self.models}
        evaluations = run_remote(
            judge, folders, inputs[self.data].folder, resources=self.resources(), tell=out.tell, stop=out.stop
        )
        if missed := list(shortfalls(self.require, evaluations, self.models[0])):
            raise StepError(f"step '{out.step}': {missed[0]}", remedy="; ".join(missed[1:]))
        return Report(title=out.step, evaluations=evaluations)


def shortfalls(
    require: Mapping[str, Require], evaluations: Mapping[str, Mapping[str, Any]], base: str
) -> Iterator[str]:
    """Yield a sentence for every threshold missed: model, metric, value, threshold."""
    for name, limits in require.items():
        found, reference = evaluations[name], evaluations[base]
        values = {
            "accuracy_drop": reference["accuracy"] - found["accuracy"],
            "size_share": found["size_bytes"] / reference["size_bytes"],
        }
        for metric, limit in limits.model_dump(exclude_none=True).items():
            value = values.get(metric, found.get(metric))
            least = metric in ("accuracy", "macro_f1")
            if value < limit - SLACK if least else value > limit + SLACK:
                yield f"{name}: {metric} is {value:.4g}, required {'>=' if least else '<='} {limit:g}"
