"""Our side of `open_dataset`, a process of its own: from a data set's folder to the first shuffled batch."""

from __future__ import annotations

import json
import sys
import time

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.data.preparing import preprocess_of
from tests.benchmarks.draining import fingerprint


def opened(folder: str, batch: int) -> Feed:
    """Open the training split and read its first batch."""
    dataset = Dataset.load(Folder.parse(folder))
    feed = Feed(encoded(dataset, preprocess_of(dataset), "train"), batch, seed=0)
    feed.read(0, 0, 1)
    return feed


def main(folder: str, batch: int) -> None:
    """Open the set once to warm up and once to be timed; both sides read pages that the system holds."""
    opened(folder, batch)
    started = time.perf_counter()
    feed = opened(folder, batch)
    seconds = time.perf_counter() - started
    shards = (feed.read(step, 0, 1) for step in range(feed.steps))
    print(json.dumps({"seconds": seconds, "rows": fingerprint((shard.x, shard.y) for shard in shards)}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
