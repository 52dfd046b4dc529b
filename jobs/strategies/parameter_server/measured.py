"""What closures told of an epoch of train steps, put together: how long, how stale, how many bytes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from jobs.artifacts import Timing
from jobs.data.feed import Feed
from jobs.models.weights.wholes import name_of
from jobs.strategies.parameter_server.traced import FACTS, OTHERS, ROWS, STEPS, WORKER
from jobs.strategies.timing import percentiles


def table_of(closures: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the facts of closures, a row for each."""
    return np.stack([closure[:FACTS] for closure in closures])


def timing_of(
    closures: Sequence[NDArray[np.float64]], seconds: float, workers: int, living: Collection[int], bytes_sent: int
) -> Timing:
    """Return the timing of an epoch of `seconds`, of what its closures returned and the workers that live.

    A train step's time is its worker's, from the first read to the last push. What is left of the wall time, when
    workers had no closure, is time they waited for rows: the mean of those that live.
    """
    table, of_steps = table_of(closures), np.concatenate([closure[FACTS:] for closure in closures])
    takers = table[:, WORKER].astype(int)
    busy = np.bincount(takers, [closure[FACTS:].sum() for closure in closures], workers)
    p50, p90, p99 = percentiles(of_steps.tolist())
    return Timing(
        rows_per_second=(np.bincount(takers, table[:, ROWS], workers) / seconds).tolist(),
        calls=len(table),
        train_steps=len(of_steps),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        seconds=seconds,
        input_seconds=float(np.mean([max(0.0, seconds - busy[worker]) for worker in living])),
        bytes_sent=bytes_sent,
    )


def facts_of(table: NDArray[np.float64], in_flight: int) -> dict[str, float]:
    """Return how stale the train steps were, and the most closures in flight at once.

    The staleness of a train step is how many updates others made between its read of the variables and its own; it is
    known as the mean over each closure, which the most is of. Others' updates count when their closures end.
    """
    return {
        "mean_staleness": float(table[:, OTHERS].sum() / table[:, STEPS].sum()),
        "most_staleness": float((table[:, OTHERS] / table[:, STEPS]).max()),
        "closures_in_flight": float(in_flight),
    }


def step_bytes(training: Any, feed: Feed) -> int:
    """Return the bytes that a train step's rows, reads and updates send; of an embedding, those of the rows looked up.

    What is not trained, such as moving averages, is read and updated like the rest.
    """
    rows = tf.nest.flatten(feed.read(0, 0, 1))
    looked_up = sum(array.size for array in rows[:1] if array.dtype == np.int32)
    total = sum(array.nbytes for array in rows)
    total += sum(2 * math.prod(v.shape) * v.dtype.size for v in training.model.non_trainable_variables)
    tables = set()
    for gradient, variable in zip(training.gradients, training.model.trainable_variables, strict=False):
        if gradient.indices is None:
            total += 2 * math.prod(gradient.shape) * gradient.dtype.size
        elif (name := name_of(variable)) not in tables:
            tables.add(name)
            total += looked_up * (2 * math.prod(gradient.shape[1:]) * gradient.dtype.size + gradient.indices.size)
    return int(total)
