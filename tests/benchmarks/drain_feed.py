"""Our side of the feeding benchmarks, a process of its own: a shard through Feed and an engine's data set."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from jobs.data.feed import Feed
from jobs.data.shards import read
from jobs.models.layers import Named
from jobs.strategies import Single
from jobs.strategies.replicated.iterating import iterator_of
from tests.benchmarks.draining import drainer, tell


def main(shard: str, batch: int, epochs: int) -> None:
    """Drain `shard` in batches that the models' own first layer normalises."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    rows: Any = read(Path(shard))
    feed, engine = Feed(rows, batch, seed=0), Single().engine()
    inputs = keras.Input(rows.x.shape[1:])
    normalise = keras.Model(inputs, Named(0).rescale(inputs))

    def normalised(taken: Any) -> tuple[Any, Any]:
        return normalise(taken.x), taken.y

    def shards(_: Any) -> Any:
        return feed.batches(0, engine.first, engine.local, engine.replicas)

    iterator = iterator_of(tf.distribute.get_strategy(), shards)
    drain = drainer(normalised)
    one_epoch = ([part.numpy() for part in normalised(taken)] for taken in shards(None).take(feed.steps))
    tell(lambda: drain(iterator, feed.steps), epochs, ((x, y) for x, y in one_epoch))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
