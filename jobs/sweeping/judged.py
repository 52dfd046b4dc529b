"""Judges the file that a trial would serve, on validation rows: choices are never made on the test split."""

from __future__ import annotations

import numpy as np

from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.encode import encoded
from jobs.judging.served import runner_of
from jobs.runtime.measure import latency, logits_of, size
from jobs.runtime.runner import softmax


def judged(folder: Folder, data: Folder, timed: bool) -> dict[str, float]:
    """Return accuracy, loss (mean cross-entropy) and bytes of the model in `folder`; when `timed`, its p99 too."""
    model, dataset = Model.load(folder), Dataset.load(data)
    path = folder.fetch()
    runner = runner_of(model.runtime, path / model.served)
    rows = encoded(dataset, model.preprocess, "validation", path)
    logits, true = logits_of(runner, rows)
    likely = softmax(logits)[np.arange(len(true)), true]
    found = {
        "accuracy": float((logits.argmax(1) == true).mean()),
        "loss": float(-np.log(np.maximum(likely, 1e-12)).mean()),
        "size_bytes": float(size(path / model.served)["size_bytes"]),
    }
    return found | ({"p99_ms": latency(runner, rows)["p99_ms"]} if timed else {})
