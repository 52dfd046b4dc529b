"""A tf.data pipeline that decodes its JPEG files every epoch, as the tutorials write it; files are in memory."""

import json
import sys
from typing import Any

import pyarrow.parquet as pq
import tensorflow as tf

from tests.benchmarks.draining import drainer, tell

settings = json.loads(sys.argv[1])
tf.config.threading.set_intra_op_parallelism_threads(1)
table = pq.read_table(settings["table"], filters=[("split", "=", "train")])
labels = table["label"].to_pylist()
classes = sorted(set(labels))


def decode(file: Any, label: Any) -> Any:
    # the accurate transform costs no more here, and gives Pillow's pixels to the bit
    image = tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.cast(image, tf.float32) / 127.5 - 1, label


files = tf.data.Dataset.from_tensor_slices((table["image"].to_pylist(), [classes.index(label) for label in labels]))
rows = files.shuffle(len(labels)).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
batches = rows.batch(settings["batch"]).prefetch(tf.data.AUTOTUNE)
drain = drainer()
tell(lambda: drain(iter(batches), len(batches)), settings["epochs"], batches.as_numpy_iterator())
