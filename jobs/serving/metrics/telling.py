"""What a replica tells Ray's metrics of its requests and answers, by model and version; and no word of a payload."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.artifacts import Model
from jobs.runtime.inputs import Inputs
from jobs.serving.metrics.declared import BATCH, CONFIDENCE, DRIFT, ERRORS, LATENCY, METRICS, PREDICTED, QUEUE, REQUESTS
from jobs.serving.metrics.drift import Drift

EVERY = 1.0  # seconds between two tellings: what is counted between them is told at once
NAMED = 100  # classes counted by name; a model of more has the rest counted as one
OTHERS = "(others)"
KINDS = {
    400: "malformed",
    401: "unauthorized",
    404: "not found",
    408: "too slow",
    413: "too large",
    415: "unknown type",
    422: "invalid",
    429: "overloaded",
}


def kind_of(status: int) -> str:
    """Return what is wrong with a request by its HTTP status; empty when nothing is."""
    if status < 400:
        return ""
    return KINDS.get(status, "refused" if status < 500 else "failed")


class Telling:
    """Counts in the process, and tells Ray at most once a second: an observer of what a replica answers.

    `classes` and what is expected are told by `knows` when a version is loaded, before anything is answered by it.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._made = {metric.name: metric.made() for metric in METRICS}
        self._classes: dict[str, list[str]] = {}
        self._drift: dict[str, Drift] = {}
        self._predicted: dict[str, NDArray[np.int64]] = {}
        self._told = time.monotonic()

    def knows(self, version: str, model: Model) -> None:
        """Take note of a version that is going to answer."""
        self._classes[version] = model.classes
        self._predicted[version] = np.zeros(len(model.classes), np.int64)
        if model.expected is not None:
            self._drift[version] = Drift(model.expected)
        self._tell()

    def forgets(self, version: str) -> None:
        """Drop what is held of a version that answers no more."""
        for held in (self._classes, self._drift, self._predicted):
            held.pop(version, None)

    def drift(self, version: str) -> Mapping[str, float]:
        """Return the indices of a version, of those that have been seen often enough."""
        return self._drift[version].told() if version in self._drift else {}

    def answered(self, version: str, protocol: str, status: int, seconds: float) -> None:
        """Take note of a request that was answered, or refused."""
        tags = {"model": self._model, "version": version}
        self._made[REQUESTS.name].inc(1, tags | {"protocol": protocol, "status": str(status)})
        self._made[LATENCY.name].observe(seconds, tags | {"protocol": protocol})
        if kind := kind_of(status):
            self._made[ERRORS.name].inc(1, tags | {"kind": kind})
        if time.monotonic() - self._told >= EVERY:
            self._tell()

    def predicted(self, version: str, rows: Inputs, probabilities: NDArray[np.float32]) -> None:
        """Take note of prepared rows and what a version said of them, `float32[rows, classes]`."""
        classes = probabilities.argmax(axis=1)
        if version in self._predicted:
            np.add.at(self._predicted[version], classes, 1)
        if version in self._drift:
            self._drift[version].add(rows, classes)
        tags = {"model": self._model, "version": version}
        for probability in probabilities.max(axis=1):
            self._made[CONFIDENCE.name].observe(float(probability), tags)

    def batched(self, version: str, rows: int) -> None:
        """Take note of how many rows ran together."""
        self._made[BATCH.name].observe(rows, {"model": self._model, "version": version})

    def waiting(self, requests: int) -> None:
        """Take note of how many requests the replica holds."""
        self._made[QUEUE.name].set(requests, {"model": self._model})

    def _tell(self) -> None:
        """Tell Ray what was counted since the last time, and the drift as it is."""
        self._told = time.monotonic()
        for version, counts in self._predicted.items():
            tags = {"model": self._model, "version": version}
            for label, rows in _by_label(self._classes[version], counts):
                self._made[PREDICTED.name].inc(rows, tags | {"label": label})
            counts[:] = 0
        for version, drift in self._drift.items():
            for of, index in drift.told().items():
                self._made[DRIFT.name].set(index, {"model": self._model, "version": version, "of": of})


def _by_label(classes: Sequence[str], counts: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Return the rows of each class that has some; of classes beyond the first hundred, together."""
    told = [(label, int(rows)) for label, rows in zip(classes[:NAMED], counts[:NAMED], strict=True) if rows]
    rest = int(counts[NAMED:].sum())
    return [*told, (OTHERS, rest)] if rest else told
