"""What the sides of the feeding benchmarks share: what is timed of an epoch, and what of its rows is compared.

Each side runs in a process of its own, with one thread within an operation, and tells what it found as JSON.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cluster.environment import training_variables
from tests.benchmarks.processes import ended, start

LEVELS = 127.5  # a byte `b` is fed as `b / LEVELS - 1`
NEAR = 1e-6  # between multiplying by the inverse and dividing


def told_by(module: str, **settings: Any) -> dict[str, Any]:
    """Run `module` as a process with our training workers' variables, and return what it told."""
    environment = {**training_variables(), "OMP_NUM_THREADS": "1"}
    process = start("-m", module, json.dumps(settings), environment=environment)
    found: dict[str, Any] = json.loads(ended(process, time.perf_counter()).output.splitlines()[-1])
    return found


def tell(epoch: Callable[[], int], epochs: int, batches: Iterable[tuple[Any, Any]]) -> None:
    """Run an epoch to warm up, time `epochs` more, and print their rows a second with the fingerprint of `batches`."""
    epoch()
    started = time.perf_counter()
    rows = sum(epoch() for _ in range(epochs))
    rate = rows / (time.perf_counter() - started)
    print(json.dumps({"rate": rate, "rows": fingerprint((levels(x), y) for x, y in batches)}))


def levels(x: Any) -> Any:
    """Return the bytes that normalised `float32` values came from; AssertionError when one came from none."""
    found = np.rint((x + 1) * LEVELS)
    assert x.dtype == np.float32, x.dtype
    assert np.abs(found / LEVELS - 1 - x).max() <= NEAR, "the values are bytes, normalised"
    return found.astype(np.uint8)


def fingerprint(batches: Iterable[tuple[Any, Any]]) -> str:
    """Return a hash of the multiset of rows in `batches` of (`uint8[rows, …]`, labels); their order is nothing."""
    rows = []
    for x, y in batches:
        assert x.dtype == np.uint8, x.dtype
        rows += [hashlib.sha256(row.tobytes() + bytes([label])).digest() for row, label in zip(x, y, strict=True)]
    return f"{len(rows)} rows {hashlib.sha256(b''.join(sorted(rows))).hexdigest()}"


def drainer(normalised: Callable[[Any], tuple[Any, Any]] = lambda batch: batch) -> Callable[[Any, int], int]:
    """Return what takes `count` batches from a tf.data iterator in one traced loop, as engines do, and their rows.

    `normalised` makes (x, y) of a batch as it comes.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def drain(iterator: Any, count: Any) -> Any:
        rows, seen = tf.zeros([], tf.int64), tf.zeros([])
        for _ in tf.range(count):
            x, y = normalised(next(iterator))
            rows += tf.size(y, tf.int64)
            seen += tf.reshape(x, [-1])[0]
        return rows, seen

    return lambda iterator, count: int(drain(iterator, tf.constant(count, tf.int64))[0])


def write_rows(path: Path, x: Any, y: Any) -> None:
    """Write rows as one shard and as arrays beside it (`.npz`, names `x` and `y`)."""
    from jobs.data.shards import ShardWriter

    writer = ShardWriter(path.with_suffix(".spool"), x.shape[1:])
    writer.append(x, y)
    writer.close(path)
    np.savez(path.with_suffix(".npz"), x=x, y=y)
