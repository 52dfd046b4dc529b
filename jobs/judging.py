"""What the worker of an evaluate step does: run each served file over the test split and measure it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.encode import encoded
from jobs.runtime.measure import latency, predictions, scores, size
from jobs.runtime.runner import Runner


def judge(models: dict[str, Folder], data: Folder, tell: Callable[[dict[str, Any]], None]) -> dict[str, dict[str, Any]]:
    """Return by model name: scores, bytes, latency, and what is known of how the model was made."""
    dataset = Dataset.load(data)
    return {name: _judged(name, folder, dataset, tell) for name, folder in models.items()}


def _judged(name: str, folder: Folder, dataset: Dataset, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    model = Model.load(folder)
    if model.classes != dataset.classes:
        raise StepError(f"'{name}' and the data", f"have other classes: {model.classes}", str(dataset.classes))
    path = folder.fetch()
    runner = _runner(model, path)
    rows = encoded(dataset, model.preprocess, "test", path)
    found = scores(*predictions(runner, rows), model.classes)
    found |= size(path / model.served) | latency(runner, rows)
    tell({"judged": name, "accuracy": found["accuracy"], "size_bytes": found["size_bytes"], "p99_ms": found["p99_ms"]})
    return found


def _runner(model: Model, path: Path) -> Any:
    """Return what runs the served file; TensorFlow is loaded only for a model nothing else runs."""
    if model.runtime == "litert":
        return Runner(path / model.served)
    from jobs.models.saved_model.serving import SavedModelRunner

    return SavedModelRunner(path / model.served)
