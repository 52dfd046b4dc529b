"""NumPy alone: a permutation an epoch, each batch taken by its indices and normalised in place, on one thread."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.benchmarks.draining import tell

settings = json.loads(sys.argv[1])
with np.load(settings["arrays"]) as arrays:
    x, y = arrays["x"], arrays["y"]
stream = np.random.default_rng(0)


def batches() -> Iterator[tuple[Any, Any]]:
    order = stream.permutation(len(x))
    for start in range(0, len(x), settings["batch"]):
        indices = order[start : start + settings["batch"]]
        rows = x.take(indices, 0).astype(np.float32)
        rows *= np.float32(1 / 127.5)
        rows -= np.float32(1)
        yield rows, y.take(indices)


tell(lambda: sum(len(labels) for _, labels in batches()), settings["epochs"], batches())
