"""What closures do where they run, as traced functions: train steps, measuring, predicting.

Each is traced once, for any number of train steps and rows.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from jobs.models.layers import draws
from jobs.strategies.parameter_server.packing import Packed, signature, steps_in, unpack

# What a closure of train steps returns, `float64[7 + train steps]`: one tensor, which is fetched in one call. Behind
# these are the seconds of each train step.
LOSS, CORRECT, ROWS, BAD, OTHERS, STEPS, WORKER = range(7)
FACTS = 7
NONE = float("inf")  # no train step was bad


def train_closure(strategy: Any, updates: Any, training: Any, packed: Packed) -> Any:
    """Return the closure of train steps from `start` on: sums, the first bad one, others' updates, who took them.

    `updates` is a variable on a server that counts the updates of all workers, those of a closure when it ends. It is
    read twice a closure: a call to a server in every train step would cost a tenth of the speed of a small model.
    """

    def replica_step(batch: Any, train_step: Any) -> Any:
        with draws(train_step, 0, training.seed):
            return tf.cast(tf.stack(training.apply(batch, 1)), tf.float64)

    # A function of its own has returned only when its updates are done: not before is the update counted.
    @tf.function  # type: ignore[untyped-decorator]
    def step(batch: Any, train_step: Any) -> Any:
        for hook in training.before_step:
            hook(train_step)
        return strategy.run(replica_step, args=(batch, train_step))

    @tf.function(input_signature=[signature(packed), tf.TensorSpec([], tf.int64)])  # type: ignore[untyped-decorator]
    def run(packed: Any, start: Any) -> Any:
        worker = tf.distribute.coordinator.experimental_get_current_worker_index()
        count, before = steps_in(packed), updates.read_value()
        with tf.control_dependencies([before]):  # train steps begin when it is read
            ended = tf.timestamp()
        seconds = tf.TensorArray(tf.float64, tf.cast(count, tf.int32))
        sums, bad = tf.zeros([3], tf.float64), tf.constant(NONE, tf.float64)
        for i in tf.range(count):
            found = step(unpack(packed, i), start + i)
            bad = tf.where(tf.math.is_finite(found[0]), bad, tf.minimum(bad, tf.cast(start + i, tf.float64)))
            sums += found
            with tf.control_dependencies([found]):
                now = tf.timestamp()
            seconds, ended = seconds.write(tf.cast(i, tf.int32), now - ended), now
        with tf.control_dependencies([ended]):
            others = updates.assign_add(count).read_value() - before - count
        facts = [bad, *(tf.cast(number, tf.float64) for number in (others, count, worker))]
        return tf.concat([sums, facts, seconds.stack()], 0)

    return run


def measure_closure(strategy: Any, training: Any, packed: Packed) -> Any:
    """Return the closure that gives the sums of loss, correct rows and rows of some batches: `float64[3]`."""

    @tf.function(input_signature=[signature(packed)])  # type: ignore[untyped-decorator]
    def run(packed: Any) -> Any:
        sums = tf.zeros([3], tf.float64)
        for i in tf.range(steps_in(packed)):
            found = strategy.run(training.measure, args=(unpack(packed, i),))
            sums += tf.cast(tf.stack(found), tf.float64)
        return sums

    return run


def predict_closure(strategy: Any, model: Any, packed: Packed) -> Any:
    """Return the closure that gives the logits of one batch: `float32[rows, classes]`."""

    def forward(x: Any) -> Any:
        return tf.cast(model(x, training=False), tf.float32)

    @tf.function(input_signature=[signature(packed)])  # type: ignore[untyped-decorator]
    def run(packed: Any) -> Any:
        return strategy.run(forward, args=(unpack(packed, 0).x,))

    return run
