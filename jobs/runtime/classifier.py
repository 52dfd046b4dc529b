"""From raw texts and images to labels: preparation, the served file, softmax. What a replica does, and `predict`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cluster.errors import RequestError
from jobs.artifacts import Model
from jobs.data.preparing import preparer
from jobs.runtime.runner import Runner

GOLDEN = "golden.json"
Raw = str | bytes


class Classifier:
    """A Model artifact ready to answer; `path` is its local folder."""

    def __init__(self, model: Model, path: Path, threads: int = 1) -> None:
        model.require_servable(str(path))
        self.model = model
        self.modality = model.preprocess.model_dump()["kind"]
        self.runner = Runner(path / model.served, threads)
        self._prepare = preparer(model.preprocess, path)

    def classify(self, items: list[Raw], top: int = 3) -> list[dict[str, Any]]:
        """Return for each text or encoded image its label, probability and `top` labels; BadRow names what is wrong."""
        wanted = str if self.modality == "text" else bytes
        for item in items:
            if not isinstance(item, wanted):
                raise RequestError("the model", f"was given {type(item).__name__}", f"{self.modality} rows")
        answers = []
        for row in self.runner.probabilities(self._prepare(items)):
            best = [(self.model.classes[i], float(row[i])) for i in row.argsort()[::-1][:top]]
            labels = [{"label": label, "probability": p} for label, p in best]
            answers.append({**labels[0], "top": labels})
        return answers


def golden_rows(path: Path) -> list[Raw]:
    """Return the raw rows kept with a model to try it on: texts, or encoded images."""
    rows = json.loads((path / GOLDEN).read_text())["rows"]
    return [row["text"] if "text" in row else base64.b64decode(row["image"]) for row in rows]


def write_golden(path: Path, rows: list[Raw]) -> None:
    """Keep raw rows with a model, to try it on wherever it is loaded."""
    kept = [{"text": r} if isinstance(r, str) else {"image": base64.b64encode(r).decode()} for r in rows]
    (path / GOLDEN).write_text(json.dumps({"rows": kept}))
