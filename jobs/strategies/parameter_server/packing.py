"""Packs the rows of train steps as the argument of a closure, and unpacks them where it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from jobs.data.feed import Batch, Feed

Packed = dict[str, Any]
CARRIED = 64 << 20  # bytes of rows that travel with a closure


def carried(feed: Feed, train_step: int, most: int) -> int:
    """Return how many train steps, `most` at most, a closure from `train_step` on may have: fewer of large rows."""
    held: int = sum(part.nbytes for part in tf.nest.flatten(feed.read(train_step, 0, 1)))
    return max(1, min(most, CARRIED // held))


def pack(feed: Feed, start: int, count: int) -> Packed:
    """Return the rows of train steps `start` … `start+count`-1, all of equally many rows, as few tensors.

    Each crosses to a worker by itself. `x` is `[train steps, rows, …]`, `classes` (each row's own, and that of what was
    mixed in) and `shares` (of its own class, and its weight) are `[train steps, 2, rows]`.
    """
    rows = feed.stacked([(train_step, 0) for train_step in range(start, start + count)], 1)
    packed = {
        "x": rows.x,
        "classes": np.stack([rows.y, rows.other], 1),
        "shares": np.stack([rows.share, rows.weights], 1),
    }
    return packed | ({"teacher": rows.teacher} if rows.teacher.shape[-1] else {})


def signature(packed: Packed) -> Any:
    """Return the types of `packed` for any number of train steps and rows, so that a closure is traced once."""

    def of(name: str, array: Any) -> Any:
        free = [None, 2, None] if name in ("classes", "shares") else [None, None, *array.shape[2:]]
        return tf.TensorSpec(free, tf.string if array.dtype == object else tf.as_dtype(array.dtype))

    return {name: tf.nest.map_structure(lambda a, n=name: of(n, a), value) for name, value in packed.items()}


def steps_in(packed: Packed) -> Any:
    """Return the number of train steps, inside a closure."""
    return tf.shape(packed["classes"], tf.int64)[0]


def unpack(packed: Packed, index: Any) -> Batch:
    """Return the batch of one train step, inside a closure."""
    part = tf.nest.map_structure(lambda tensor: tensor[index], packed)
    classes, shares = part["classes"], part["shares"]
    rows = tf.shape(classes)[1]
    teacher = part.get("teacher", tf.zeros([rows, 0]))
    return Batch(part["x"], classes[0], classes[1], shares[0], shares[1], 1 / tf.cast(rows, tf.float32), teacher)
