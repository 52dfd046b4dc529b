"""`open_dataset`: the seconds from a prepared set on disk to its first batch, against Ray Data reading Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.folder import Folder
from jobs.artifacts import Dataset
from tests.benchmarks.draining import told_by, write_rows
from tests.benchmarks.harness import Benchmark

ROWS, SHAPE, BATCH = 20_000, (32, 32, 3), 128  # 61 MB


class OpenDataset(Benchmark):
    """Ray is up, both sides have imported what they need, and each has read the set once before."""

    id = "open_dataset"
    name = "opening a prepared set of 61 MB to its first batch, against ray.data.read_parquet"
    unit = "s"
    better = "lower"
    target = 0.02

    def prepare(self, work: Path) -> None:
        """Make a set of noise as our artifact, and the same rows as one Parquet file of uncompressed bytes."""
        self.folder, self.parquet = work / "open_dataset", work / "open_dataset.parquet"
        self.folder.mkdir()
        stream = np.random.default_rng(0)
        x = stream.integers(0, 256, (ROWS, *SHAPE), dtype=np.uint8)
        y = stream.integers(0, 10, ROWS).astype(np.int32)
        write_rows(self.folder / "train.arrow", x, y)
        facts = {"modality": "image", "classes": list("0123456789"), "rows": {"train": ROWS}, "image": list(SHAPE)}
        Dataset.model_validate(facts).save(Folder.parse(str(self.folder)))
        table = pa.table({"x": [row.tobytes() for row in x], "label": y})
        pq.write_table(table, self.parquet, compression="none", use_dictionary=False)
        self.rows: set[str] = set()

    def ours(self) -> float:
        """Open the artifact."""
        return self._seconds("tests.benchmarks.first_batch", folder=str(self.folder))

    def reference(self) -> float:
        """Read the Parquet file with Ray Data."""
        return self._seconds("tests.benchmarks.references.ray_data", parquet=str(self.parquet))

    def _seconds(self, module: str, **settings: str) -> float:
        told = told_by(module, batch=BATCH, **settings)
        self.rows.add(told["rows"])
        return float(told["seconds"])

    def faults(self) -> Iterator[str]:
        """Yield when the sides do not hold the same rows with the same labels."""
        if len(self.rows) != 1:
            yield f"the sets hold other rows: {', '.join(sorted(self.rows))}"
