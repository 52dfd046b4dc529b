"""The `evaluate` job: judges served files on the test split, and holds them to what is required."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cluster.errors import StepError
from cluster.work import run_remote
from jobs.artifacts import Dataset, Model, Report
from jobs.job import Inputs, Job, Output, mismatch
from jobs.spec import Path, Ref, Spec

Share = Annotated[float | None, Field(ge=0, le=1, description="At least")]


class Require(Spec):
    """Thresholds one model must meet; those left out are not checked.

    Accuracy and its drop are what was measured, which on few rows is partly luck: a verdict that more rows could turn
    is told as within noise. With `confidence` they are held to their bounds instead, one-sided and at that level.
    """

    accuracy: Share = None
    accuracy_drop: Annotated[float | None, Field(ge=0, le=1, description="At most, below the first model")] = None
    confidence: Annotated[
        float | None, Field(gt=0.5, lt=1, description="Hold accuracy and accuracy_drop with this confidence")
    ] = None
    balanced_accuracy: Share = None
    macro_f1: Share = None
    macro_average_precision: Share = None
    ece: Annotated[float | None, Field(ge=0, le=1, description="Expected calibration error, at most")] = None
    coverage: Annotated[float | None, Field(ge=0, le=1, description="Share of rows not rejected, at least")] = None
    accepted_accuracy: Annotated[float | None, Field(ge=0, le=1, description="Of rows not rejected, at least")] = None
    size_bytes: Annotated[int | None, Field(gt=0, description="At most")] = None
    size_share: Annotated[float | None, Field(gt=0, description="At most, of the first model's bytes")] = None
    gzip_share: Annotated[
        float | None, Field(gt=0, description="At most, of the first model's bytes, both gzipped: zeros cost little so")
    ] = None
    p99_ms: Annotated[float | None, Field(gt=0, description="At most")] = None

    REJECTION: ClassVar[tuple[str, ...]] = ("coverage", "accepted_accuracy")

    @model_validator(mode="after")
    def _confidence_is_of_something(self) -> Self:
        if self.confidence is not None and self.accuracy is None and self.accuracy_drop is None:
            raise PydanticCustomError("confidence", "needs accuracy or accuracy_drop, which it is the confidence of")
        return self


class Reject(Spec):
    """Find, on validation rows, the least probability from which on answers reach `accuracy`, and judge it on test."""

    accuracy: Annotated[float, Field(gt=0, le=1, description="Of the rows that are answered")]


class Evaluate(Job):
    """Judge the served file of each model: accuracy, per class, calibration, rejection, bytes, latency of one row.

    Each model is compared with the first on the same rows, by McNemar's exact test.
    """

    job: Literal["evaluate"] = "evaluate"
    produces = Report
    version: ClassVar[int] = 2

    models: Annotated[list[Annotated[str, Ref(Model)]], Field(min_length=1, max_length=64)]
    data: Annotated[str, Ref(Dataset)]
    reject: Reject | None = None
    require: dict[str, Require] = {}

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Check that requirements are of models that are judged, and of what is measured."""
        for index, name in enumerate(self.models):
            if name in self.models[:index]:
                yield ("models", index), f"'{name}' is judged already"
            yield from mismatch(("models", index), steps, name, self.data)
        for name, limits in self.require.items():
            if name not in self.models:
                yield ("require", name), f"'{name}' is not among the models judged: {', '.join(self.models)}"
            for metric in Require.REJECTION:
                if self.reject is None and getattr(limits, metric) is not None:
                    yield ("require", name, metric), "needs reject, which says when no answer is given"

    def run(self, inputs: Inputs, out: Output) -> Report:
        """Judge in a worker process; StepError names every threshold that was missed."""
        from jobs.judging.judge import judge
        from jobs.judging.verdict import Verdict

        folders = {name: inputs[name].folder for name in self.models}
        aimed = self.reject.accuracy if self.reject else None
        work = (folders, inputs[self.data].folder, aimed, out.folder)
        evaluations: dict[str, dict[str, Any]] = run_remote(
            judge, *work, resources=self.resources(), tell=out.tell, stop=out.stop
        )
        missed: list[str] = []
        for name, limits in self.require.items():
            verdict = Verdict(name, limits, evaluations[name], evaluations[self.models[0]])
            missed += verdict.shortfalls()
            if noise := verdict.within_noise():
                evaluations[name]["within_noise"] = noise
                out.tell({"warning": "; ".join(noise)})
        if missed:
            raise StepError(f"step '{out.step}': {missed[0]}", remedy="; ".join(missed[1:]))
        return Report(title=out.step, evaluations=evaluations)
