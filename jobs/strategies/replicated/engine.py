"""Drives train steps under a synchronous tf.distribute strategy: every replica holds the whole model.

Several train steps run in one traced call, and the sums a call makes stay on the device until the epoch ends: what is
left of Python per train step is next to nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from jobs.artifacts import Timing
from jobs.data.feed import Feed
from jobs.models.layers import draws
from jobs.strategies.engine import SharedData, state_of
from jobs.strategies.replicated.exchange import Exchange
from jobs.strategies.replicated.iterating import iterator_of
from jobs.strategies.replicated.reading import is_summed, reader_of
from jobs.strategies.timing import Calls

STEPS_A_CALL = 64


class Replicated(SharedData):
    """The engine of `single` and `data_parallel`."""

    def __init__(self, strategy: Any, workers: int, rank: int) -> None:
        super().__init__()
        self.strategy = strategy
        self.workers = workers
        self.replicas = int(strategy.num_replicas_in_sync)
        self.local = self.replicas // workers
        self.first = rank * self.local
        self.rank = rank
        with strategy.scope():
            self.sums = tf.Variable(
                tf.zeros([3], tf.float64),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            self.bad_step = tf.Variable(
                tf.int64.max,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
        self.waited = tf.Variable(0.0, trainable=False, dtype=tf.float64)  # seconds, for rows
        self._calls = Calls()
        self._trained: tuple[Any, Feed, float] | None = None  # what, on what, how many rows
        self._exchanges: dict[int, tuple[int, float]] = {}  # bytes and seconds of a train step
        self._iterators: dict[int, tuple[int, Any]] = {}

    def scope(self) -> Any:
        """Return the strategy's scope."""
        return self.strategy.scope()

    def train(self, training: Any, feed: Feed, first: int, last: int) -> tuple[float, float, float]:
        """Run train steps `first` … `last`-1 and return the sums of loss, correct rows and rows."""
        run = self._function(training, "train", lambda: self._train_function(training))
        iterator = self._iterator(feed, first)
        self._reset()
        # Gradients of embeddings are gathered, and within a call TensorFlow holds what is gathered to one shape.
        for start, count in feed.alike(first, last, STEPS_A_CALL):
            with self._calls.of(count) as each:
                ends = run(iterator, tf.constant(start, tf.int64), tf.constant(count, tf.int64))
                self.strategy.experimental_local_results(self.sums)[0].numpy()  # a call may end before its devices do
                each += np.diff(ends.numpy()).tolist()
        self._iterators[id(feed)] = (last, iterator)
        sums = self._summed()
        self._trained = (training, feed, sums[2] + (self._trained[2] if self._trained else 0))
        return sums

    def read(self, training: Any) -> dict[str, Any]:
        """Return weights (`w/…`) and optimizer state (`o/…`), read together where there are several replicas."""
        if self.replicas == 1:
            return super().read(training)
        state = dict(state_of(training))
        together = {name: variable for name, variable in state.items() if not is_summed(variable)}
        found = self._function(training, "read", lambda: reader_of(self.strategy, together))()
        return {name: found[name] if name in found else variable.numpy() for name, variable in state.items()}

    def restore(self, training: Any, arrays: dict[str, Any]) -> None:
        """Put arrays that `read` returned back, in this worker's replicas: the other workers do the same."""
        for name, variable in state_of(training):
            if (value := arrays.get(name)) is not None:
                held = (variable,) if is_summed(variable) else self.strategy.experimental_local_results(variable)
                for mine in held:
                    mine.assign(value)

    def timing(self) -> Timing | None:
        """Return where the time in `train` went since this was last asked.

        Waiting for rows is timed around each step's `next`. The exchange of gradients is timed by itself, once a
        training, for it cannot be told apart inside a step: `Exchange.seconds` times the number of steps. Every worker
        has an equal share of the rows.
        """
        if self._trained is None:
            return None
        training, feed, rows = self._trained
        if id(training) not in self._exchanges:
            shard = feed.read(0, self.first, self.replicas)
            looked_up = sum(x.size for x in tf.nest.flatten(shard.x) if x.dtype == np.int32)
            exchange = Exchange(self.strategy, training.gradients, looked_up)
            self._exchanges[id(training)] = (exchange.bytes_sent(), exchange.seconds(feed.steps))
        size, seconds = self._exchanges[id(training)]
        shares = [rows / self.workers] * self.workers
        found = self._calls.timing(shares, size, float(self.waited.numpy()), seconds)
        self.forget()
        return found

    def forget(self) -> None:
        """Forget the time in `train` so far."""
        self._trained = None
        self._calls.reset()
        self.waited.assign(0.0)

    def evaluate(self, training: Any, feed: Feed) -> tuple[float, float, float]:
        """Return the sums of loss, correct rows and rows over every row of `feed`."""
        run = self._function(training, "evaluate", lambda: self._evaluate_function(training))
        iterator = self._shards(feed, 0)
        self._reset()
        run(iterator, tf.constant(feed.steps, tf.int64))
        return self._summed()

    def predict(self, model: Any, feed: Feed) -> NDArray[np.float32]:
        """Return the logits `float32[rows, classes]` of every row of `feed`, in its order."""

        def forward(batch: Any) -> tuple[Any, Any]:
            return tf.cast(model(batch.x, training=False), tf.float32), batch.weights

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def run(batch: Any) -> Any:
            return self.strategy.run(forward, args=(batch,))

        parts = []
        iterator = self._shards(feed, 0)
        for _ in range(feed.steps):
            logits, weights = (self.strategy.gather(part, axis=0).numpy() for part in run(next(iterator)))
            parts.append(logits[weights > 0])
        return np.concatenate(parts)

    def first_bad_step(self) -> int | None:
        """Return the first train step whose loss was not finite in any replica since the last `train` began."""
        mine = self.strategy.run(lambda: tf.reshape(self.bad_step.read_value(), [1]))
        found = int(tf.reduce_min(self.strategy.gather(mine, axis=0)))
        return None if found == tf.int64.max else found

    def _reset(self) -> None:
        for variable in self.strategy.experimental_local_results(self.sums):
            variable.assign(tf.zeros([3], tf.float64))
        for variable in self.strategy.experimental_local_results(self.bad_step):
            variable.assign(tf.int64.max)

    def _summed(self) -> tuple[float, float, float]:
        loss, correct, rows = (float(v) for v in self.sums.read_value().numpy())
        return loss, correct, rows

    def _iterator(self, feed: Feed, start: int) -> Any:
        at, iterator = self._iterators.get(id(feed), (-1, None))
        return iterator if at == start else self._shards(feed, start)

    def _shards(self, feed: Feed, start: int) -> Any:
        return iterator_of(self.strategy, lambda _: feed.batches(start, self.first, self.local, self.replicas))

    def _train_function(self, training: Any) -> Any:
        def replica_step(batch: Any, train_step: Any) -> Any:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            with draws(train_step, replica, training.seed):
                loss, correct, rows = training.apply(batch, self.replicas)
            self.sums.assign_add(tf.cast(tf.stack([loss, correct, rows]), tf.float64))
            bad = tf.where(tf.math.is_finite(loss), tf.int64.max, train_step)
            self.bad_step.assign(tf.minimum(self.bad_step, bad))
            return loss

        # A function of its own has returned only when its updates are done: not before does a step end.
        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def step(batch: Any, train_step: Any) -> Any:
            for hook in training.before_step:
                hook(train_step)
            return self.strategy.run(replica_step, args=(batch, train_step))

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def run(iterator: Any, start: Any, count: Any) -> Any:
            ends = tf.TensorArray(tf.float64, tf.cast(count, tf.int32) + 1)
            ends = ends.write(0, tf.timestamp())
            for i in tf.range(count):
                found = step(self._next(iterator), start + i)
                with tf.control_dependencies(tf.nest.flatten(found, expand_composites=True)):
                    ends = ends.write(tf.cast(i, tf.int32) + 1, tf.timestamp())
            return ends.stack()

        return run

    def _next(self, iterator: Any) -> Any:
        """Return the next shard, and add the time it was waited for."""
        before = tf.timestamp()
        with tf.control_dependencies([before]):
            batch = next(iterator)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            self.waited.assign_add(tf.timestamp() - before)
        return batch

    def _evaluate_function(self, training: Any) -> Any:
        def replica_step(batch: Any) -> None:
            loss, correct, rows = training.measure(batch)
            self.sums.assign_add(tf.cast(tf.stack([loss, correct, rows]), tf.float64))

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def run(iterator: Any, count: Any) -> None:
            for _ in tf.range(count):
                self.strategy.run(replica_step, args=(next(iterator),))

        return run
