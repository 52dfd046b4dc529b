"""Run as a program: reads and restores a training of two replicas, and tells what came of it as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from jobs.fit import Training
from jobs.strategies.engine import state_of
from jobs.strategies.replicated.engine import Replicated
from jobs.strategies.replicated.iterating import iterator_of


def found() -> dict[str, Any]:
    """Return what two replicas, whose statistics differ, are read as and restored to."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    engine = Replicated(strategy, workers=1, rank=0)
    training, other = (made(strategy) for _ in range(2))
    mean, seen = training.model.layers[1].moving_mean, training.model.layers[2].seen
    for replica, values in enumerate(([1.0, 2.0, 3.0], [3.0, 4.0, 5.0])):
        strategy.experimental_local_results(mean)[replica].assign(values)
        strategy.experimental_local_results(seen)[replica].assign(10.0 * (replica + 1))
    names = {id(variable): name for name, variable in state_of(training)}
    engine.read(training)  # traced
    reduced = counted(strategy)
    state = engine.read(training)
    alone = len(reduced)
    as_read = {"mean": state[names[id(mean)]].tolist(), "seen": float(state[names[id(seen)]])}
    rose = {name: (value + 1).astype(value.dtype) for name, value in state.items()}
    engine.restore(training, rose)
    again = engine.read(training)
    rows = tf.data.Dataset.range(8).batch(2)
    shards = next(iterator_of(strategy, lambda context: rows))
    return as_read | {
        "means": [value.numpy().tolist() for value in strategy.experimental_local_results(mean)],
        "reduced": alone,
        "rose": all(np.array_equal(again[name], value) for name, value in rose.items()),
        "other": any(np.array_equal(engine.read(other)[name], again[name]) for name in again),
        "shards": [shard.numpy().tolist() for shard in strategy.experimental_local_results(shards)],
    }


def made(strategy: Any) -> Training:
    """Return a training of a model with weights, statistics, and a sum that replicas add to."""
    with strategy.scope():
        layers = [tf_keras.layers.Dense(3, input_shape=(2,)), tf_keras.layers.BatchNormalization(), Counts()]
        model = tf_keras.Sequential(layers)
        training = Training(model, tf_keras.optimizers.SGD(momentum=0.9), 0)
        training.optimizer.build(model.trainable_variables)
    return training


class Counts(tf_keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """Has a variable that is worth the sum of its replicas'."""

    def build(self, shape: Any) -> None:
        """Make the variable."""
        on_read, summed = tf.VariableSynchronization.ON_READ, tf.VariableAggregation.SUM
        self.seen = self.add_weight("seen", (), trainable=False, synchronization=on_read, aggregation=summed)

    def call(self, rows: Any) -> Any:
        """Change nothing."""
        return rows


def counted(strategy: Any) -> list[Any]:
    """Return a list that grows with every value that is reduced by itself from now on."""
    calls: list[Any] = []
    stock = strategy.extended._reduce_to

    def reduce_to(*given: Any, **options: Any) -> Any:
        calls.append(given)
        return stock(*given, **options)

    strategy.extended._reduce_to = reduce_to
    return calls


if __name__ == "__main__":
    print(json.dumps(found()))
