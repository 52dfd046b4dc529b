"""Drives train steps over a mesh of workers (DTensor): layers divide over some of them, global batches over others.

A traced step is written as for one device, on the whole batch; DTensor divides it by the layouts of what goes in, and
sums where it must. TensorFlow is imported here: only for workers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray
from tensorflow.experimental import dtensor

from cluster import ports
from jobs.artifacts import Timing
from jobs.data.feed import Batch, Feed
from jobs.models.layers import drawing, draws
from jobs.models.sharding import current
from jobs.strategies.engine import SharedData
from jobs.strategies.model_parallel.sharded import BATCH, MODEL, Grid
from jobs.strategies.model_parallel.traffic import bytes_sent
from jobs.strategies.timing import Calls


class Meshed(SharedData):
    """The engine of `model_parallel`. The workers of one row of the mesh see the same rows of a global batch."""

    local = 1

    def __init__(self, batch: int, model: int, rank: int) -> None:
        super().__init__()
        device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        ports.release()
        dtensor.initialize_accelerator_system(device, enable_coordination_service=True)
        keras.backend.experimental.enable_tf_random_generator()
        mesh = dtensor.create_distributed_mesh([(BATCH, batch), (MODEL, model)], device_type=device)
        self.grid = Grid(mesh, *divmod(rank, model))
        self.replicas, self.first = batch, self.grid.row
        self._axes: dict[str, int | None] = {}  # of the models' variables, by name
        self._bad_step: int | None = None
        self._calls, self._waited = Calls(), 0.0
        self._trained: tuple[Any, Feed, float] | None = None  # what, on what, how many rows

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Make variables over the mesh."""
        with self.grid.variables(self._axis):
            yield

    def _axis(self, name: str) -> int | None:
        """Return the axis along which a variable divides: a model's by the model's rule, an optimizer's like its own.

        Keras calls the latter by the model's variable, behind what it holds: `m/words/embeddings`.
        """
        rule = current()
        if rule.divides:
            self._axes[name] = rule.axis(name)
        return self._axes.get(name, self._axes.get(name.partition("/")[2]))

    def train(self, training: Any, feed: Feed, first: int, last: int) -> tuple[float, float, float]:
        """Run train steps `first` … `last`-1 and return the sums of loss, correct rows and rows."""
        run = self._function(training, "train", lambda: self._train_function(training))
        sums, self._bad_step = np.zeros(3), None
        for train_step in range(first, last):
            started = time.perf_counter()
            batch, number = self._batch(feed, train_step), self.grid.pack(np.int64(train_step), self.grid.layout(0))
            self._waited += time.perf_counter() - started
            with self._calls.of(1):
                found = self._numbers(run, batch, number)
            if self._bad_step is None and not isfinite(found[0]):
                self._bad_step = train_step
            sums += found
        before = self._trained[2] if self._trained else 0.0
        self._trained = (training, feed, before + float(sums[2]))
        return _three(sums)

    def timing(self) -> Timing | None:
        """Return where the time in `train` went since this was last asked; the exchange is not told apart in it."""
        if self._trained is None:
            return None
        training, feed, rows = self._trained
        shares = [rows / self.replicas] * (self.replicas * self.grid.columns)
        size = bytes_sent(training.model, self._axes, feed.batch_size, self.replicas, self.grid.columns)
        found = self._calls.timing(shares, size, self._waited)
        self._trained, self._waited = None, 0.0
        self._calls.reset()
        return found

    def evaluate(self, training: Any, feed: Feed) -> tuple[float, float, float]:
        """Return the sums of loss, correct rows and rows over every row of `feed`."""
        run = self._function(training, "evaluate", lambda: _evaluate_function(training))
        sums = np.zeros(3)
        for train_step in range(feed.steps):
            sums += self._numbers(run, self._batch(feed, train_step))
        return _three(sums)

    def predict(self, model: Any, feed: Feed) -> NDArray[np.float32]:
        """Return the logits `float32[rows, classes]` of every row of `feed`, in its order."""
        run = _predict_function(model)
        parts = []
        for train_step in range(feed.steps):
            batch = self._batch(feed, train_step)
            with dtensor.default_mesh(self.grid.mesh):
                logits = run(batch)
                parts.append(self.grid.whole(logits)[self.grid.whole(batch.weights) > 0])
        return np.concatenate(parts)

    def first_bad_step(self) -> int | None:
        """Return the first train step whose loss was not finite since the last `train` began."""
        return self._bad_step

    def _train_function(self, training: Any) -> Any:
        def whole(drawn: Any) -> Any:
            return dtensor.relayout(drawn, self.grid.layout(drawn.shape.rank))

        @tf.function  # type: ignore[untyped-decorator]
        def run(batch: Any, train_step: Any) -> Any:
            # Every worker draws a mask whole and takes its part: parts drawn apart would be others than one worker's.
            with draws(train_step, 0, training.seed), drawing(whole):
                return tf.stack(training.apply(batch, 1))

        return run

    def _batch(self, feed: Feed, train_step: int) -> Batch:
        """Return a global batch over the mesh, each shard filled up to as many rows as the largest may have."""
        shard = feed.read(train_step, self.grid.row, self.replicas)
        missing = -(-min(feed.batch_size, len(feed.rows)) // self.replicas) - len(shard.y)
        filled = tf.nest.map_structure(lambda part: _filled(part, missing), shard)
        filled = filled._replace(weights=np.pad(shard.weights, (0, missing)))

        def over_mesh(part: Any) -> Any:
            return self.grid.pack(part, self.grid.layout(part.ndim, 0, BATCH))

        return tf.nest.map_structure(over_mesh, filled)  # type: ignore[no-any-return]

    def _numbers(self, run: Any, *arguments: Any) -> NDArray[np.float64]:
        with dtensor.default_mesh(self.grid.mesh):
            return np.asarray(self.grid.whole(run(*arguments)), np.float64)


def _filled(part: Any, missing: int) -> Any:
    if part.ndim == 0 or not missing:
        return part
    return np.concatenate([part, np.repeat(part[:1], missing, 0)])


def _three(sums: NDArray[np.float64]) -> tuple[float, float, float]:
    loss, correct, rows = (float(v) for v in sums)
    return loss, correct, rows


def _evaluate_function(training: Any) -> Any:
    @tf.function  # type: ignore[untyped-decorator]
    def run(batch: Any) -> Any:
        return tf.stack(training.measure(batch))

    return run


def _predict_function(model: Any) -> Any:
    @tf.function  # type: ignore[untyped-decorator]
    def run(batch: Any) -> Any:
        return tf.cast(model(batch.x, training=False), tf.float32)

    return run
