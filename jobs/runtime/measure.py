"""Measures a served file: what it answers on labelled rows, its bytes, and how long one row takes."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.runtime.inputs import singles
from jobs.runtime.intervals import wilson
from jobs.runtime.runner import Runner

BATCH = 32


def logits_of(
    runner: Runner, rows: Any, indices: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return (logits `float32[rows, classes]`, labels `int32[rows]`) of the rows at `indices`; of all by default."""
    chosen = np.arange(len(rows)) if indices is None else indices
    found, true = [], []
    for start in range(0, len(chosen), BATCH):
        x, y = rows.gather(chosen[start : start + BATCH])
        found.append(runner.logits(x))
        true.append(y.astype(np.int32))
    return np.concatenate(found), np.concatenate(true)


def scores(found: NDArray[np.int32], true: NDArray[np.int32], classes: list[str]) -> dict[str, Any]:
    """Return accuracy with its 95 % interval, macro-F1, a per-class table and the confusion matrix.

    The matrix has true classes down and predicted classes across. Balanced accuracy is the mean recall of the classes
    that have rows.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = list(range(len(classes)))
    precision, recall, f1, support = precision_recall_fscore_support(true, found, labels=labels, zero_division=0)
    table = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for name, p, r, f, n in zip(classes, precision, recall, f1, support, strict=True)
    ]
    low, high = wilson(int((found == true).sum()), len(true))
    return {
        "accuracy": float((found == true).mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "rows": len(true),
        "balanced_accuracy": float(recall[support > 0].mean()),
        "macro_f1": float(f1.mean()),
        "per_class": table,
        "confusion": confusion_matrix(true, found, labels=labels).tolist(),
    }


def latency(runner: Runner, rows: Any, seconds: float = 1.0, least: int = 50) -> dict[str, float]:
    """Return the p50 and p99, in milliseconds, of running one row through the file with one thread."""
    x, _ = rows.gather(np.arange(min(64, len(rows))))
    single = list(singles(x))
    for row in single[:8]:
        runner.logits(row)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < least:
        row = single[len(times) % len(single)]
        started = time.perf_counter()
        runner.logits(row)
        times.append((time.perf_counter() - started) * 1000)
    return {"p50_ms": float(np.percentile(times, 50)), "p99_ms": float(np.percentile(times, 99))}


def size(served: Path) -> dict[str, int]:
    """Return the bytes of a file, or of all files of a folder, plain and gzipped."""
    files = sorted(file for file in served.rglob("*") if file.is_file()) if served.is_dir() else [served]
    data = b"".join(file.read_bytes() for file in files)
    return {"size_bytes": len(data), "gzip_bytes": len(gzip.compress(data, mtime=0))}
