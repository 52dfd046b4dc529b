"""Iterators over shards for every replica of this process, without the threads in which TensorFlow tunes them.

There is nothing to tune: shards are read in one thread, a fixed number ahead. An iterator's end waits for its tuning
thread, which now and then misses being told and sleeps on, twice as long each time up to a minute (seen: 2.5, 5, 10 and
60 s between two trainings of 7 s, in one of two).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def untuned(dataset: Any) -> Any:
    """Return a tf.data set whose iterators start no such thread."""
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def iterator_of(strategy: Any, shards: Callable[[Any], Any]) -> Any:
    """Return an iterator of the tf.data set that `shards` returns for tf.distribute's input context."""
    with _devices_untuned():
        return iter(strategy.distribute_datasets_from_function(lambda context: untuned(shards(context))))


@contextmanager
def _devices_untuned() -> Iterator[None]:
    """Have what tf.distribute makes of ours for single devices, and gives no options, made untuned too."""
    from tensorflow.python.data.ops import multi_device_iterator_ops as devices

    stock = devices._create_device_dataset
    devices._create_device_dataset = lambda *given: untuned(stock(*given))
    try:
        yield
    finally:
        devices._create_device_dataset = stock
