"""The gradients that replicas exchange in a train step: how many bytes that sends, and how long it takes by itself."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from jobs.strategies.timing import ring_bytes

REPEATS = 8  # exchanges that are timed, at most


class Exchange:
    """The sum of `gradients` over all replicas of a synchronous tf.distribute strategy.

    A dense gradient is summed by a ring. That of an embedding is gathered: every replica sends to every other the rows
    that its shard looks up, `looked_up` of them, with their indices.
    """

    def __init__(self, strategy: Any, gradients: Sequence[Any], looked_up: int) -> None:
        self.strategy = strategy
        self.members = int(strategy.num_replicas_in_sync)
        self.gradients = gradients
        self.looked_up = looked_up

    def bytes_sent(self) -> int:
        """Return the bytes all replicas together send."""
        return sum(self._bytes(gradient) for gradient in self.gradients)

    def _bytes(self, gradient: Any) -> int:
        if gradient.indices is None:
            return ring_bytes(math.prod(gradient.shape) * gradient.dtype.size, self.members)
        row: int = math.prod(gradient.shape[1:]) * gradient.dtype.size + gradient.indices.size
        return self.members * (self.members - 1) * self.looked_up * row

    def seconds(self, train_steps: int) -> float:
        """Return how long one exchange of zeros takes with nothing beside it; every worker must call.

        The first exchange connects the workers and is not counted. Those that are counted are one for each hundred of
        the `train_steps` of an epoch, at least one.
        """
        if self.members == 1:
            return 0.0

        @tf.function  # type: ignore[untyped-decorator]
        def run(count: Any) -> None:
            for _ in tf.range(count):
                self.strategy.run(self._exchange)

        run(tf.constant(1))
        repeats = max(1, min(REPEATS, train_steps // 100))
        started = time.perf_counter()
        run(tf.constant(repeats))
        return (time.perf_counter() - started) / repeats

    def _exchange(self) -> None:
        zeros = [self._zeros(gradient) for gradient in self.gradients]
        tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, zeros)

    def _zeros(self, gradient: Any) -> Any:
        if gradient.indices is None:
            return tf.zeros(gradient.shape, gradient.dtype)
        rows = tf.zeros([self.looked_up, *gradient.shape[1:]], gradient.dtype)
        return tf.IndexedSlices(rows, tf.zeros([self.looked_up], gradient.indices), tf.constant(gradient.shape))
