"""Reads a training's variables in one call: of those that every replica has its own of, the mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

ON_READ = tf.VariableSynchronization.ON_READ


def reader_of(strategy: Any, variables: Mapping[str, Any]) -> Callable[[], dict[str, NDArray[Any]]]:
    """Return what reads the variables by their names; every worker calls it at the same points.

    Replicas have statistics of batch normalisation of their own. Read one by one, each is a sum of its own over the
    network, 10 ms on one machine; here they are one. All others must be the same everywhere: this worker's are read.
    """
    apart = [name for name, variable in variables.items() if _is_apart(variable)]
    sizes = [int(np.prod(variables[name].shape)) for name in apart]

    def replica() -> dict[str, Any]:
        values = {name: variable.read_value() for name, variable in variables.items()}
        if apart:
            flat = tf.concat([tf.reshape(tf.cast(values[name], tf.float64), [-1]) for name in apart], 0)
            means = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, flat)
            for name, mean in zip(apart, tf.split(means, sizes), strict=True):
                values[name] = tf.cast(tf.reshape(mean, values[name].shape), values[name].dtype)
        return values

    @tf.function  # type: ignore[untyped-decorator]
    def run() -> Any:
        found = strategy.run(replica)
        return {name: strategy.experimental_local_results(value)[0] for name, value in found.items()}

    return lambda: {name: value.numpy() for name, value in run().items()}


def is_summed(variable: Any) -> bool:
    """Say whether the variable is worth something else than its replicas' mean, and goes TensorFlow's own way."""
    return bool(variable.synchronization == ON_READ and variable.aggregation != tf.VariableAggregation.MEAN)


def _is_apart(variable: Any) -> bool:
    """Say whether replicas have values of their own, which are worth their mean."""
    return bool(variable.synchronization == ON_READ and variable.aggregation == tf.VariableAggregation.MEAN)
