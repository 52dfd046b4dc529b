"""Feeds prepared rows to train steps: which rows each replica sees at each train step, and how they get there.

The order of rows is a pure function of (seed, epoch). Every row is seen once an epoch for any number of replicas: the
last global batch is smaller, and is split as evenly as its rows allow. A replica that would get none gets one row of
weight 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Feed:
    """Global batches of `batch_size` rows, reshuffled by `seed` every epoch; in order when `seed` is None.

    `rows` has `gather(indices) -> (x, y)` and a length.
    """

    def __init__(self, rows: Any, batch_size: int, seed: int | None) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.steps = -(-len(rows) // batch_size)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of the rows in `epoch`: `int64[rows]`."""
        if self._order[0] != epoch:
            count = len(self.rows)
            stream = np.random.Philox(key=[0 if self.seed is None else self.seed, epoch])
            order = np.arange(count) if self.seed is None else np.random.Generator(stream).permutation(count)
            self._order = (epoch, order)
        return self._order[1]

    def shard(self, train_step: int, replica: int, replicas: int) -> tuple[NDArray[np.int64], int]:
        """Return (row indices of `replica` at `train_step`, rows of the whole global batch)."""
        epoch, step = divmod(train_step, self.steps)
        batch = self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        return batch[replica * len(batch) // replicas : (replica + 1) * len(batch) // replicas], len(batch)

    def read(self, train_step: int, replica: int, replicas: int) -> tuple[Any, Any, Any, Any]:
        """Return (x, labels, weights `float32[rows]`, 1/rows of the global batch) of one replica's shard."""
        indices, total = self.shard(train_step, replica, replicas)
        weights = np.ones(len(indices), np.float32)
        if not len(indices):
            indices, weights = self.order(0)[:1], np.zeros(1, np.float32)
        x, y = self.rows.gather(indices)
        if x.dtype == np.uint8:
            x = x.astype(np.float32)
        return x, y.astype(np.int32), weights, np.float32(1 / total)

    def batches(self, start: int, first: int, local: int, replicas: int) -> Any:
        """Return an endless tf.data set of the shards of replicas `first` … `first+local-1` from train step `start`."""
        import tensorflow as tf

        x = self.read(0, 0, 1)[0]

        def load(k: Any) -> Any:
            return self.read(start + int(k) // local, first + int(k) % local, replicas)

        def shaped(k: Any) -> Any:
            parts = tf.numpy_function(load, [k], [x.dtype, tf.int32, tf.float32, tf.float32], stateful=False)
            for part, shape in zip(parts, ([None, *x.shape[1:]], [None], [None], []), strict=True):
                part.set_shape(shape)
            return tuple(parts)

        counter = tf.data.Dataset.counter()
        return counter.map(shaped, num_parallel_calls=1, deterministic=True).prefetch(4)
