"""Opens Parquet with Ray Data to its first batch, on a Ray that is up and has read the same file once before."""

import json
import sys
import time
from typing import Any

import numpy as np
import ray
import ray.data

from tests.benchmarks.draining import fingerprint

settings = json.loads(sys.argv[1])
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
ray.data.DataContext.get_current().enable_progress_bars = False


def batches() -> Any:
    rows = ray.data.read_parquet(settings["parquet"])
    return iter(rows.iter_batches(batch_size=settings["batch"], batch_format="numpy"))


def opened() -> float:
    started = time.perf_counter()
    next(batches())
    return time.perf_counter() - started


opened()
seconds = opened()
rows = fingerprint((np.stack([np.frombuffer(x, np.uint8) for x in batch["x"]]), batch["label"]) for batch in batches())
ray.shutdown()
print(json.dumps({"seconds": seconds, "rows": rows}))
