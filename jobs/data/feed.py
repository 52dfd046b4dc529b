"""Feeds prepared rows to train steps: which rows each replica sees at each train step, and how they get there.

The order of rows is a pure function of (seed, epoch). Every row is seen once an epoch for any number of replicas. Where
what is left for the last global batch is under half of one, too few for good statistics and perhaps for every replica,
the last two share their rows evenly. A batch is split as evenly as its rows allow. A replica that would still get none
gets one row of weight 0. Augmentations change the rows of a training feed as they are read, by draws that depend on
replicas as little.

Crossing from NumPy to tf.data costs about as much as gathering a hundred small images, so several shards cross at once;
bytes stay bytes, where nothing changes them, until the model's input makes floats of them, on its device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.data.augment import Augment, SpecialTokens
from jobs.data.augment.chain import Chain

TOGETHER = 2 << 20  # bytes of rows that cross to tf.data at once: several small shards, and one large
MOST = 16  # shards that do
AHEAD = 4  # shards read before they are asked for


class Batch(NamedTuple):
    """One replica's shard of a global batch, as arrays; tensors of the same shapes once tf.data carries it."""

    x: Any  # prepared rows `[rows, …]`; of a model with several inputs a dict of them by the inputs' names
    y: Any  # int32[rows], classes
    other: Any  # int32[rows], the class of the row that was mixed in; `y` where none was
    share: Any  # float32[rows], what is left of the row's own class; 1 where nothing was mixed in
    weights: Any  # float32[rows], 0 for a row that only fills up
    scale: Any  # float32, 1 / rows of the global batch
    teacher: Any  # float32[rows, classes], a teacher's logits; `[rows, 0]` without one


class Feed:
    """Global batches of `batch_size` rows, reshuffled by `seed` every epoch; in order when `seed` is None.

    `rows` has `gather(indices) -> (x, y)` and a length; `teacher` holds a teacher's logits for all of them. `augment`
    changes the rows, in the order given; `special` tells it which tokens of a text are no words.
    """

    def __init__(
        self,
        rows: Any,
        batch_size: int,
        seed: int | None,
        teacher: NDArray[np.float32] | None = None,
        augment: Sequence[Augment] = (),
        special: SpecialTokens | None = None,
    ) -> None:
        assert seed is not None or not augment, "rows that are read in order are judged on, and stay as they are"
        self.rows = rows
        self.teacher = np.empty((len(rows), 0), np.float32) if teacher is None else teacher
        self.batch_size = batch_size
        self.seed = seed
        self.steps = -(-len(rows) // batch_size)
        self._chain = Chain(augment, seed or 0, special or SpecialTokens())
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of the rows in `epoch`: `int64[rows]`."""
        if self._order[0] != epoch:
            count = len(self.rows)
            stream = np.random.Philox(key=[0 if self.seed is None else self.seed, epoch])
            order = np.arange(count) if self.seed is None else np.random.Generator(stream).permutation(count)
            self._order = (epoch, order)
        return self._order[1]

    def batch(self, train_step: int) -> NDArray[np.int64]:
        """Return the row indices of the whole global batch at `train_step`."""
        epoch, step = divmod(train_step, self.steps)
        return self.order(epoch)[self._start(step) : self._start(step + 1)]

    def _start(self, step: int) -> int:
        """Return where in an epoch's rows the global batch of its train step `step` starts."""
        rows, size = len(self.rows), self.batch_size
        if step == self.steps:
            return rows
        if step and step == self.steps - 1 and rows - step * size < size / 2:
            return rows - (rows - (step - 1) * size) // 2
        return step * size

    def shard(self, train_step: int, replica: int, replicas: int) -> NDArray[np.int64]:
        """Return the row indices of `replica` at `train_step`."""
        batch = self.batch(train_step)
        return batch[replica * len(batch) // replicas : (replica + 1) * len(batch) // replicas]

    def alike(self, first: int, last: int, most: int) -> Iterator[tuple[int, int]]:
        """Yield (train step, count) of runs of at most `most` train steps whose batches have equally many rows."""
        while first < last:
            count, rows = 1, self._rows(first)
            while count < min(most, last - first) and self._rows(first + count) == rows:
                count += 1
            yield first, count
            first += count

    def _rows(self, train_step: int) -> int:
        step = train_step % self.steps
        return self._start(step + 1) - self._start(step)

    def read(self, train_step: int, replica: int, replicas: int) -> Batch:
        """Return one replica's shard."""
        batch, indices = self.batch(train_step), self.shard(train_step, replica, replicas)
        weights = np.ones(len(indices), np.float32)
        if not len(indices):
            indices, weights = batch[:1], np.zeros(1, np.float32)
        x, y, other, share = self._chain.read(self._gather, train_step, indices, batch)
        return Batch(x, y, other, share, weights, np.float32(1 / len(batch)), self.teacher.take(indices, 0))

    def _gather(self, indices: NDArray[np.int64]) -> tuple[Any, NDArray[np.int32]]:
        x, y = self.rows.gather(indices)
        return x, y.astype(np.int32)

    def batches(self, start: int, first: int, local: int, replicas: int) -> Any:
        """Return an endless tf.data set of the shards of replicas `first` … `first+local-1` from train step `start`."""
        import tensorflow as tf

        example = self.read(0, first, replicas)
        parts = tf.nest.flatten(example)
        most = min(MOST, max(1, TOGETHER // sum(part.nbytes for part in parts)))
        runs = self._runs(first, local, replicas, most)
        epoch, step = divmod(start, self.steps)
        passed = [run for run in runs if run.stop <= step * local]

        def load(number: Any) -> list[Any]:
            epoch, run = divmod(int(number), len(runs))
            at = [(epoch * self.steps + shard // local, first + shard % local) for shard in runs[run]]
            return apart(tf.nest.flatten(self.stacked(at, replicas)))

        def shaped(number: Any) -> Any:
            loaded = tf.numpy_function(load, [number], [part.dtype for part in parts], stateful=False)
            for tensor, part in zip(loaded, parts, strict=True):
                tensor.set_shape([None, None, *part.shape[1:]] if part.shape else [None])
            return tf.nest.pack_sequence_as(example, loaded)

        numbers = tf.data.Dataset.counter(epoch * len(runs) + len(passed))
        loaded = numbers.map(shaped, num_parallel_calls=1, deterministic=True).prefetch(-(-AHEAD // most))
        shards = loaded.flat_map(tf.data.Dataset.from_tensor_slices)
        return shards.skip(step * local - sum(map(len, passed)))

    def stacked(self, at: Sequence[tuple[int, int]], replicas: int) -> Batch:
        """Return the shards at (train step, replica), stacked: every part has one more axis, which comes first.

        All must have equally many rows.
        """
        return self._together(at, replicas) or self._one_by_one(at, replicas)

    def _one_by_one(self, at: Sequence[tuple[int, int]], replicas: int) -> Batch:
        import tensorflow as tf

        def joined(*parts: NDArray[Any]) -> NDArray[Any]:
            return np.stack(parts) if len(parts) > 1 else np.asarray(parts[0])[None]

        shards = [self.read(train_step, replica, replicas) for train_step, replica in at]
        batch: Batch = tf.nest.map_structure(joined, *shards)
        return batch

    def _together(self, at: Sequence[tuple[int, int]], replicas: int) -> Batch | None:
        """Return the shards of rows that stay as they are, gathered at once; None of others.

        An epoch of 60,000 rows of 784 bytes in batches of 128 takes half the time so.
        """
        import tensorflow as tf

        shards = [self.shard(train_step, replica, replicas) for train_step, replica in at]
        if self._chain.kinds or not all(map(len, shards)):
            return None
        indices, rows = np.concatenate(shards), len(shards[0])

        def folded(part: NDArray[Any]) -> NDArray[Any]:
            return part.reshape(len(at), rows, *part.shape[1:])

        x, y = tf.nest.map_structure(folded, self._gather(indices))
        ones, teacher = folded(np.ones(len(indices), np.float32)), folded(self.teacher.take(indices, 0))
        scales = np.asarray([1 / len(self.batch(train_step)) for train_step, _ in at], np.float32)
        return Batch(x, y, y, ones, ones, scales, teacher)

    def _runs(self, first: int, local: int, replicas: int, most: int) -> list[range]:
        """Return the shards of an epoch, numbered in order, in runs of equally many rows and at most `most` shards."""

        def rows(shard: int) -> int:
            batch = self._rows(shard // local)
            replica = first + shard % local
            return max(1, (replica + 1) * batch // replicas - replica * batch // replicas)

        runs = []
        for _, group in groupby(range(self.steps * local), rows):
            alike = list(group)
            runs += [range(at, min(at + most, alike[-1] + 1)) for at in range(alike[0], alike[-1] + 1, most)]
        return runs


def apart(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return `arrays` with what stands there twice copied.

    TensorFlow takes an array's memory for a tensor's own, and may write a result over what it needs no more.
    """
    seen: set[int] = set()
    found = []
    for array in arrays:
        found.append(array.copy() if id(array) in seen else array)
        seen.add(id(array))
    return found
