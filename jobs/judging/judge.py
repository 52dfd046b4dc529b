"""What the worker of an evaluate step does: run each served file over the test split, measure it, compare it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.encode import encoded
from jobs.judging.served import runner_of
from jobs.runtime.calibration import calibration
from jobs.runtime.curves import curves
from jobs.runtime.intervals import compared
from jobs.runtime.measure import latency, logits_of, scores, size
from jobs.runtime.rejection import accepted, risk_coverage, threshold_for_accuracy
from jobs.runtime.runner import softmax

PREDICTIONS = "predictions.parquet"
CHOSEN_ON = 5_000  # validation rows thresholds are chosen on
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Answers:
    """What a model answered on the rows of a split: classes `int32[rows]`, their probability, and whether right."""

    found: NDArray[np.int32]
    confidence: NDArray[np.float32]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], true: NDArray[np.int32]) -> Answers:
        """Take the likeliest class of each row."""
        found = probabilities.argmax(1).astype(np.int32)
        return cls(found, probabilities.max(1), found == true)


class Judge:
    """Judges models on one data set, the first of them being what the others are compared with."""

    def __init__(self, dataset: Dataset, reject_accuracy: float | None, tell: Tell) -> None:
        self.dataset, self.reject_accuracy, self.tell = dataset, reject_accuracy, tell
        self.answers: dict[str, Answers] = {}
        self.true = np.empty(0, np.int32)

    def judge(self, name: str, folder: Folder) -> dict[str, Any]:
        """Return what is measured of one model."""
        model = Model.load(folder)
        if model.classes != self.dataset.classes:
            raise StepError(f"'{name}' and the data", f"have other classes: {model.classes}", str(self.dataset.classes))
        path = folder.fetch()
        runner = runner_of(model.runtime, path / model.served)
        rows = encoded(self.dataset, model.preprocess, "test", path)
        logits, self.true = logits_of(runner, rows)
        probabilities = softmax(logits / np.float32(model.temperature))
        answers = self.answers[name] = Answers.of(probabilities, self.true)
        found = scores(answers.found, self.true, model.classes) | curves(probabilities, self.true)
        found["calibration"] = self._calibration(model.temperature, logits, probabilities)
        found |= self._rejection(name, self._chosen_on(model, runner, path), answers)
        found |= {"parameters": model.parameters, "macs": model.macs}
        found |= size(path / model.served) | latency(runner, rows) | self._against_first(answers)
        told = ("accuracy", "accuracy_low", "accuracy_high", "size_bytes", "p99_ms")
        self.tell({"judged": name} | {fact: found[fact] for fact in told})
        return found

    def _calibration(
        self, temperature: float, logits: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> dict[str, Any]:
        """Return how true the probabilities are, and how true they would be without the temperature."""
        before = calibration(softmax(logits), self.true)
        plain = {f"{name}_before": before[name] for name in ("ece", "nll", "brier")}
        return {"temperature": temperature} | calibration(probabilities, self.true) | plain

    def _chosen_on(self, model: Model, runner: Any, path: Path) -> Answers:
        """Return what the model answers on validation rows, which thresholds are chosen on."""
        rows = encoded(self.dataset, model.preprocess, "validation", path)
        some = np.linspace(0, len(rows) - 1, min(CHOSEN_ON, len(rows))).astype(np.int64)
        logits, true = logits_of(runner, rows, some)
        return Answers.of(softmax(logits / np.float32(model.temperature)), true)

    def _rejection(self, name: str, validation: Answers, test: Answers) -> dict[str, Any]:
        chosen, judged = (validation.confidence, validation.right), (test.confidence, test.right)
        found: dict[str, Any] = {"risk_coverage": risk_coverage(chosen, judged)}
        if self.reject_accuracy is None:
            return found
        threshold = threshold_for_accuracy(*chosen, self.reject_accuracy)
        if threshold is None:
            share = f"{self.reject_accuracy:g}"
            raise StepError(
                f"'{name}'",
                f"reaches accuracy {share} on validation rows at no threshold",
                "a threshold that rows pass",
                "lower reject.accuracy",
            )
        return found | {"reject": {"aimed": self.reject_accuracy} | accepted(*judged, threshold)}

    def _against_first(self, answers: Answers) -> dict[str, Any]:
        name, first = next(iter(self.answers.items()))
        if first is answers:
            return {}
        agreement = float((first.found == answers.found).mean())
        return {"against": {"first": name, "agreement": agreement} | compared(first.right, answers.right)}

    def write(self, path: Path) -> None:
        """Write every row's label and what each model answered, so that others can test it again."""
        import pyarrow as pa
        from pyarrow import parquet

        columns: dict[str, Any] = {"row": np.arange(len(self.true), dtype=np.int32), "label": self.true}
        for name, answers in self.answers.items():
            columns |= {name: answers.found, f"{name}.probability": answers.confidence}
        table = pa.table(columns).replace_schema_metadata({"classes": json.dumps(self.dataset.classes)})
        parquet.write_table(table, path / PREDICTIONS)


def judge(
    models: Mapping[str, Folder], data: Folder, reject_accuracy: float | None, out: Folder, tell: Tell
) -> dict[str, dict[str, Any]]:
    """Return by model name: scores, calibration, rejection, bytes, latency, and what it is against the first.

    `predictions.parquet` in `out` holds the test rows in order: `label`, and of each model its class (both are indices
    into the classes, which the schema's metadata lists as JSON) and `<model>.probability`.
    """
    judging = Judge(Dataset.load(data), reject_accuracy, tell)
    evaluations = {name: judging.judge(name, folder) for name, folder in models.items()}
    with out.filling() as path:
        judging.write(path)
    return evaluations
