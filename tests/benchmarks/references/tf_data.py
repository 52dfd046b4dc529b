"""The tf.data pipeline of the tutorials: rows in memory, shuffled whole, mapped one by one, batched, prefetched."""

import json
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from tests.benchmarks.draining import drainer, tell

settings = json.loads(sys.argv[1])
tf.config.threading.set_intra_op_parallelism_threads(1)
with np.load(settings["arrays"]) as arrays:
    x, y = arrays["x"], arrays["y"]


def normalise(row: Any, label: Any) -> Any:
    return tf.cast(row, tf.float32) / 127.5 - 1, label


rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x))
batches = rows.map(normalise, num_parallel_calls=tf.data.AUTOTUNE).batch(settings["batch"]).prefetch(tf.data.AUTOTUNE)
drain = drainer()
tell(lambda: drain(iter(batches), len(batches)), settings["epochs"], batches.as_numpy_iterator())
