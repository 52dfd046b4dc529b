"""`feed` and `feed_numpy`: shuffled, normalised batches from a memory-mapped shard, against tf.data and NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from tests.benchmarks.draining import told_by, write_rows
from tests.benchmarks.harness import Benchmark

ROWS, SHAPE, BATCH = 60_000, (28, 28, 1), 128
OUR_EPOCHS = 60


class Feeding(Benchmark):
    """Rows a second through our feed, and through what stands in `module`."""

    unit = "rows/s"
    better = "higher"
    module: ClassVar[str]
    epochs: ClassVar[int]  # of the reference: about as many seconds as ours

    def prepare(self, work: Path) -> None:
        """Make the rows: noise, as a shard for us and as arrays for the others."""
        self.shard = work / f"{self.id}.arrow"
        stream = np.random.default_rng(0)
        pixels = stream.integers(0, 256, (ROWS, *SHAPE), dtype=np.uint8)
        write_rows(self.shard, pixels, stream.integers(0, 10, ROWS).astype(np.int32))
        self.rows: set[str] = set()

    def ours(self) -> float:
        """Drain the shard."""
        return self._rate("tests.benchmarks.drain_feed", shard=str(self.shard), epochs=OUR_EPOCHS)

    def reference(self) -> float:
        """Drain the arrays."""
        return self._rate(self.module, arrays=str(self.shard.with_suffix(".npz")), epochs=self.epochs)

    def _rate(self, module: str, **settings: str | int) -> float:
        told = told_by(module, batch=BATCH, **settings)
        self.rows.add(told["rows"])
        return float(told["rate"])

    def faults(self) -> Iterator[str]:
        """Yield when an epoch of either side was not each row once, with its label and its very values."""
        if len(self.rows) != 1 or not next(iter(self.rows)).startswith(f"{ROWS} rows "):
            yield f"the epochs hold other rows: {', '.join(sorted(self.rows))}"


class Feed(Feeding):
    """Against the idiomatic tf.data pipeline."""

    id = "feed"
    name = "feeding shuffled, normalised batches from a memory-mapped shard, against tf.data (shuffle, map, batch)"
    target = 20.0
    module = "tests.benchmarks.references.tf_data"
    epochs = 2


class FeedNumpy(Feeding):
    """Against NumPy's permutation and gather, with the same normalisation."""

    id = "feed_numpy"
    name = "feeding shuffled, normalised batches from a memory-mapped shard, against NumPy's permutation and gather"
    target = 0.5
    module = "tests.benchmarks.references.numpy_gather"
    epochs = 100
