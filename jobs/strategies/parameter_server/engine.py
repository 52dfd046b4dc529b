"""Drives train steps as closures: workers take them one after another, and update variables that servers hold.

A worker reads no rows: the coordinator does, and a train step's travel with its closure. So a closure that is done
again after a worker was lost repeats its own rows, and every row is seen once an epoch. What a closure returns counts
once, however often it ran.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from jobs.artifacts import Timing
from jobs.data.feed import Feed
from jobs.strategies.engine import SharedData
from jobs.strategies.parameter_server.flight import Flight
from jobs.strategies.parameter_server.measured import facts_of, step_bytes, table_of, timing_of
from jobs.strategies.parameter_server.packing import carried, pack
from jobs.strategies.parameter_server.parameter_server import fair
from jobs.strategies.parameter_server.tasks import Watch
from jobs.strategies.parameter_server.traced import (
    BAD,
    LOSS,
    NONE,
    ROWS,
    measure_closure,
    predict_closure,
    train_closure,
)


class Scheduled(SharedData):
    """The engine of `parameter_server`, in the coordinator. `watch` is looked at now and then while closures fly."""

    replicas = 1  # a train step is one worker's
    local = 1
    first = 0

    def __init__(self, strategy: Any, watch: Watch, workers: int, steps_per_closure: int, in_flight: int) -> None:
        super().__init__()
        self.strategy = strategy
        self.workers = workers
        self._watch = watch
        self.steps_per_closure = steps_per_closure
        self._flight = Flight(tf.distribute.coordinator.ClusterCoordinator(strategy), in_flight, watch.look)
        with strategy.scope():
            self._updates = tf.Variable(0, dtype=tf.int64, trainable=False, name="updates")
        self._bad = NONE
        self._epoch: tuple[list[NDArray[np.float64]], float] = ([], 0.0)  # closures' results, and seconds
        self._facts: dict[str, float] = {}
        self._timing: Timing | None = None

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Make variables on the servers, in parts where they are large."""
        with self.strategy.scope(), tf.variable_creator_scope(_whole_first):
            yield

    def train(self, training: Any, feed: Feed, first: int, last: int) -> tuple[float, float, float]:
        """Hand out train steps `first` … `last`-1; return the sums of loss, correct rows and rows when all are done."""
        results: list[NDArray[np.float64]] = []
        started = time.perf_counter()
        self._flight.highest = 0
        for start, count, alone in self._runs(training, feed, first, last):
            packed = pack(feed, start, count)
            run = self._function(
                training, "train", partial(train_closure, self.strategy, self._updates, training, packed)
            )
            if alone:
                self._flight.wait()
            self._flight.launch(run, (packed, tf.constant(start, tf.int64)), results.append)
            if alone:
                self._flight.wait()
        self._flight.wait()
        before, seconds = self._epoch if first % feed.steps else ([], 0.0)
        self._epoch = ([*before, *results], seconds + time.perf_counter() - started)
        closures, seconds = self._epoch
        table = table_of(results)
        self._bad = float(table[:, BAD].min())
        self._facts = facts_of(table_of(closures), self._flight.highest)
        living, sent = self._watch.living(), step_bytes(training, feed)
        self._timing = timing_of(closures, seconds, self.workers, living, sent)
        loss, correct, rows = (float(value) for value in table[:, LOSS : ROWS + 1].sum(0))
        return loss, correct, rows

    def evaluate(self, training: Any, feed: Feed) -> tuple[float, float, float]:
        """Return the sums of loss, correct rows and rows over `feed`: a batch counts once, however often it was run."""
        results: list[NDArray[np.float64]] = []
        for start, count in self._closures(feed, 0, feed.steps):
            packed = pack(feed, start, count)
            run = self._function(training, "measure", partial(measure_closure, self.strategy, training, packed))
            self._flight.launch(run, (packed,), results.append)
        self._flight.wait()
        loss, correct, rows = (float(value) for value in np.sum(results, 0)) if results else (0.0, 0.0, 0.0)
        return loss, correct, rows

    def predict(self, model: Any, feed: Feed) -> NDArray[np.float32]:
        """Return the logits `float32[rows, classes]` of every row of `feed`, in its order."""
        run = predict_closure(self.strategy, model, pack(feed, 0, 1))
        parts: dict[int, NDArray[np.float32]] = {}
        for step in range(feed.steps):
            self._flight.launch(run, (pack(feed, step, 1),), partial(parts.__setitem__, step))
        self._flight.wait()
        return np.concatenate([parts[step] for step in range(feed.steps)])

    def first_bad_step(self) -> int | None:
        """Return the first train step of the last `train` whose loss was not finite."""
        return None if self._bad == NONE else int(self._bad)

    def timing(self) -> Timing | None:
        """Return where the time of the epoch went, as workers timed their closures."""
        return self._timing

    def facts(self) -> dict[str, float]:
        """Return the staleness of the epoch's train steps, and how many closures were in flight."""
        return self._facts

    def _closures(self, feed: Feed, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield (train step, count) of each closure: all of its train steps have equally many rows."""
        if first < last:
            most = carried(feed, first, self.steps_per_closure)
            yield from feed.alike(first, last, fair(last - first, most, self.workers))

    def _runs(self, training: Any, feed: Feed, first: int, last: int) -> Iterator[tuple[int, int, bool]]:
        """Yield (train step, count, alone): closures' train steps, and single ones that nothing may run beside."""
        for start, count in self._closures(feed, first, last):
            begun = start
            for train_step in range(start, start + count):
                if training.alone(train_step):
                    if begun < train_step:
                        yield begun, train_step - begun, False
                    yield train_step, 1, True
                    begun = train_step + 1
            if begun < start + count:
                yield begun, start + count - begun, False


def _whole_first(make: Callable[..., Any], **options: Any) -> Any:
    """Draw a variable's whole first value before it is cut: seeded weights are those of every other strategy."""
    if callable(start := options.get("initial_value")):
        options["initial_value"] = start()
    return make(**options)
