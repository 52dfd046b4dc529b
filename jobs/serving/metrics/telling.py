"""What a replica tells Ray's metrics of its requests and answers, by model and version; and no word of a payload."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.metrics import Metric
from jobs.artifacts import Model
from jobs.runtime.inputs import Inputs, joined
from jobs.serving.answering.observing import Seen
from jobs.serving.metrics.declared import BATCH, CONFIDENCE, DRIFT, ERRORS, LATENCY, METRICS, PREDICTED, QUEUE, REQUESTS
from jobs.serving.metrics.drift import Drift

EVERY = 1.0  # seconds that counts are held for, to be told at once
MEASURED = 100  # values of a histogram that are told of a second: each costs tens of microseconds
LOOKED = 100  # rows a second that are looked at more closely: each costs tens of microseconds
NAMED = 100  # classes counted by name; a model of more has the rest counted as one
OTHERS, NONE = "(others)", "(none)"
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
    """Keeps what it sees, and tells Ray once a second while there is something to tell: an Observer.

    All requests and classes are counted. Of a histogram the values of the second are told, or of more than `MEASURED`
    so many of the same distribution. Of the second's first rows, as many as `LOOKED`, the confidence is kept and, for
    drift, the row itself. `in_hand` says how many requests the replica holds.
    """

    def __init__(self, model: str, in_hand: Callable[[], int] = lambda: 0) -> None:
        self._model, self._in_hand = model, in_hand
        self._made = {metric.name: metric.made() for metric in METRICS}
        self._classes: dict[str, list[str]] = {}
        self._drift: dict[str, Drift] = {}
        self._predicted: dict[str, list[NDArray[np.int64]]] = {}
        self._looked: dict[str, list[tuple[Inputs, NDArray[np.float32]]]] = {}
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._batches: dict[str, list[int]] = {}
        self._left = LOOKED
        self._due = False

    def knows(self, version: str, model: Model) -> None:
        """Take note of a version that is going to answer."""
        self._classes[version] = model.classes
        self._predicted[version], self._looked[version], self._batches[version] = [], [], []
        if model.expected is not None:
            self._drift[version] = Drift(model.expected)

    def forgets(self, version: str) -> None:
        """Let go of a version that answers no more."""
        for held in (self._classes, self._drift, self._predicted, self._looked, self._batches):
            held.pop(version, None)

    def seen(self, request: Seen) -> None:
        """Take note of a request that was answered, or refused; those about other models are others' to tell."""
        if request.model != self._model:
            return
        version = request.version if request.version in self._classes else NONE  # the client may have written it
        self._requests[version, request.protocol, request.status] += 1
        self._seconds[version, request.protocol].append(request.seconds)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(EVERY, self.tell)

    def predicted(self, version: str, rows: Inputs, probabilities: NDArray[np.float32]) -> None:
        """Take note of prepared rows and what a version said of them, `float32[rows, classes]`."""
        if version not in self._predicted:
            return
        self._predicted[version].append(probabilities.argmax(axis=1))
        if self._left > 0:
            self._left -= len(probabilities)
            self._looked[version].append((rows, probabilities))

    def batched(self, version: str, rows: int) -> None:
        """Take note of how many rows ran together."""
        self._batches.get(version, []).append(rows)

    def tell(self) -> None:
        """Tell Ray what was seen since the last time, and drift and queue as they are."""
        self._due, self._left = False, LOOKED
        requests, self._requests = self._requests, Counter()
        for (version, protocol, status), count in requests.items():
            tags = self._tags(version)
            self._made[REQUESTS.name].inc(count, tags | {"protocol": protocol, "status": str(status)})
            if kind := kind_of(status):
                self._made[ERRORS.name].inc(count, tags | {"kind": kind})
        seconds, self._seconds = self._seconds, defaultdict(list)
        for (version, protocol), values in seconds.items():
            self._observe(LATENCY, values, self._tags(version) | {"protocol": protocol})
        for version in list(self._classes):
            batches, self._batches[version] = self._batches[version], []
            self._observe(BATCH, batches, self._tags(version))
            self._tell_predictions(version)
        self._made[QUEUE.name].set(self._in_hand(), {"model": self._model})

    def _observe(self, metric: Metric, values: Sequence[float], tags: dict[str, str]) -> None:
        for value in spread(values, MEASURED):
            self._made[metric.name].observe(value, tags)

    def _tell_predictions(self, version: str) -> None:
        tags, classes = self._tags(version), self._classes[version]
        predicted, self._predicted[version] = self._predicted[version], []
        looked, self._looked[version] = self._looked[version], []
        if predicted:
            counts = np.bincount(np.concatenate(predicted), minlength=len(classes))
            for label, rows in _by_label(classes, counts):
                self._made[PREDICTED.name].inc(rows, tags | {"label": label})
        said = np.concatenate([probabilities for _, probabilities in looked]) if looked else None
        if said is not None:
            self._observe(CONFIDENCE, said.max(axis=1).tolist(), tags)
        if drift := self._drift.get(version):
            if said is not None:  # all at once: one by one they would hold requests up for milliseconds
                drift.add(joined([rows for rows, _ in looked]), said.argmax(axis=1))
            for of, index in drift.told().items():
                self._made[DRIFT.name].set(index, tags | {"of": of})

    async def close(self) -> None:
        """Tell the rest."""
        self.tell()

    def _tags(self, version: str) -> dict[str, str]:
        return {"model": self._model, "version": version}


def spread(values: Sequence[float], most: int) -> Sequence[float]:
    """Return all values, or of more than `most` so many, evenly spread over them by size."""
    if len(values) <= most:
        return values
    ordered = sorted(values)
    return [ordered[int((place + 0.5) * len(ordered) / most)] for place in range(most)]


def _by_label(classes: Sequence[str], counts: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Return the rows of each class that has some; of classes beyond the first hundred, together."""
    told = [(label, int(rows)) for label, rows in zip(classes[:NAMED], counts[:NAMED], strict=True) if rows]
    rest = int(counts[NAMED:].sum())
    return [*told, (OTHERS, rest)] if rest else told
