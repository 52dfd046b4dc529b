"""From raw items to labels: preparation, the served file, softmax. What a replica does, and `predict`."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cluster.errors import RequestError
from jobs.artifacts import Model
from jobs.data.preparing import preparer
from jobs.data.rows import Pair
from jobs.runtime.inputs import Inputs
from jobs.runtime.runner import Runner

GOLDEN = "golden.json"
Raw = str | bytes | Pair
ASKED: dict[str, tuple[type, str]] = {
    "text": (str, "a text"),
    "image": (bytes, "an image"),
    "image_text": (Pair, "an image and a text"),
}


class Classifier:
    """A Model artifact ready to answer; `path` is its local folder.

    Under the probability `reject_below` an answer is no label: it is `null`, and `rejected` is true.
    """

    def __init__(self, model: Model, path: Path, threads: int = 1, reject_below: float | None = None) -> None:
        model.require_servable(str(path))
        self.model = model
        self.modality = model.preprocess.modality
        self.reject_below = reject_below
        self.runner = Runner(path / model.served, threads)
        self._prepare = preparer(model.preprocess, path)

    def classify(self, items: list[Raw], top: int = 3) -> list[dict[str, Any]]:
        """Return for each text, encoded image or pair its label, probability and `top` labels.

        BadRow says what is wrong with one.
        """
        rows = self.prepared(items)
        return [self.answer(row, top) for row in self.runner.probabilities(rows, self.model.temperature)]

    def prepared(self, items: list[Raw]) -> Inputs:
        """Return the rows of texts, encoded images or pairs as the file takes them; BadRow says what is wrong."""
        wanted, called = ASKED[self.modality]
        for item in items:
            if not isinstance(item, wanted):
                raise RequestError("the model", f"was given {_called(item)}", called)
        return self._prepare(items)

    def answer(self, probabilities: NDArray[Any], top: int = 3) -> dict[str, Any]:
        """Return the label, its probability and the `top` labels of one row's probabilities `float32[classes]`."""
        best = [(self.model.classes[i], float(probabilities[i])) for i in probabilities.argsort()[::-1][:top]]
        labels = [{"label": label, "probability": p} for label, p in best]
        return {**labels[0], **self._rejection(labels[0]), "top": labels}

    def _rejection(self, best: dict[str, Any]) -> dict[str, Any]:
        """Return what overrides an answer where answers may be rejected."""
        if self.reject_below is None:
            return {}
        rejected = best["probability"] < self.reject_below
        return {"rejected": True, "label": None} if rejected else {"rejected": False}


def _called(item: Raw) -> str:
    return next(called for kind, called in ASKED.values() if isinstance(item, kind))


def golden_rows(path: Path) -> list[Raw]:
    """Return the raw rows kept with a model to try it on: texts, encoded images, or pairs."""
    return [from_json(row) for row in json.loads((path / GOLDEN).read_text())["rows"]]


def write_golden(path: Path, rows: list[Raw]) -> None:
    """Keep raw rows with a model, to try it on wherever it is loaded."""
    (path / GOLDEN).write_text(json.dumps({"rows": [as_json(row) for row in rows]}))


def as_json(item: Raw) -> dict[str, str]:
    """Return an item as JSON: `text`, `image` in base64, or both of a pair."""
    if isinstance(item, str):
        return {"text": item}
    if isinstance(item, bytes):
        return {"image": base64.b64encode(item).decode()}
    return as_json(item.image) | as_json(item.text)


def from_json(fields: Mapping[str, str]) -> Raw:
    """Return the item that `as_json` returned as `fields`; ValueError when `image` is not base64."""
    if "image" not in fields:
        return fields["text"]
    image = base64.b64decode(fields["image"], validate=True)
    return Pair(image, fields["text"]) if "text" in fields else image
