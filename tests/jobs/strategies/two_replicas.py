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
    with strategy.scope():
        model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(2,)), tf_keras.layers.BatchNormalization()])
        training = Training(model, tf_keras.optimizers.SGD(momentum=0.9), 0)
        training.optimizer.build(model.trainable_variables)
    mean = model.layers[1].moving_mean
    for replica, values in enumerate(([1.0, 2.0, 3.0], [3.0, 4.0, 5.0])):
        strategy.experimental_local_results(mean)[replica].assign(values)
    engine.read(training)  # traced
    reduced = counted(strategy)
    state = engine.read(training)
    (name,) = [name for name, variable in state_of(training) if variable is mean]
    as_read = state[name].tolist()
    engine.restore(training, state | {name: np.asarray([7, 8, 9], np.float32)})
    rows = tf.data.Dataset.range(8).repeat()
    iterator_of(strategy, lambda context: rows)
    return {
        "read": as_read,
        "restored": [value.numpy().tolist() for value in strategy.experimental_local_results(mean)],
        "reduced": len(reduced),
        "names": sorted(state) == sorted(name for name, _ in state_of(training)),
        "kernel": np.array_equal(state["w/0"], model.layers[0].kernel.numpy()),
    }


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
