"""`feed_jpeg`: batches of a prepared image set, against a pipeline that decodes the JPEG files every epoch."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.benchmarks.draining import told_by
from tests.benchmarks.harness import Benchmark

CIFAR = "cifar10-train.parquet"
MADE_UP = 20_000
HELD = 100  # rows of the validation split, which a data set must have
BATCH = 128


class FeedJpeg(Benchmark):
    """Rows a second of CIFAR-10 where ESPALIER_TEST_DATA names its folder, else of made-up images of that size."""

    id = "feed_jpeg"
    name = "feeding a prepared image set, against tf.data decoding its JPEG files every epoch"
    unit = "rows/s"
    better = "higher"
    target = 5.0

    def prepare(self, work: Path) -> None:
        """Make the table that both sides start from, and the data set of it."""
        from jobs.data.prepare import prepare
        from jobs.kinds.dataset import DatasetJob

        self.table, folder = work / "jpeg.parquet", work / "jpeg"
        folder.mkdir()
        table = images()
        splits = ["validation"] * HELD + ["train"] * (len(table) - HELD)
        pq.write_table(table.append_column("split", [splits]), self.table)
        source = {"kind": "table", "path": str(self.table), "image": "image", "label": "label", "split": "split"}
        job = DatasetJob.model_validate({"job": "dataset", "source": source, "split": {"test": 0}})
        prepare(job, folder, lambda event: None)
        self.shard = folder / "train.arrow"
        self.rows: set[str] = set()

    def ours(self) -> float:
        """Drain the data set's shard."""
        return self._rate("tests.benchmarks.drain_feed", shard=str(self.shard), epochs=40)

    def reference(self) -> float:
        """Decode and drain."""
        return self._rate("tests.benchmarks.references.tf_data_jpeg", table=str(self.table), epochs=3)

    def _rate(self, module: str, **settings: str | int) -> float:
        told = told_by(module, batch=BATCH, **settings)
        self.rows.add(told["rows"])
        return float(told["rate"])

    def faults(self) -> Iterator[str]:
        """Yield when an epoch of either side was not each image once, with its label and its very pixels."""
        if len(self.rows) != 1:
            yield f"the epochs hold other rows: {', '.join(sorted(self.rows))}"


def images() -> pa.Table:
    """Return a table of `image` (JPEG files of 32×32) and `label`."""
    if (folder := os.environ.get("ESPALIER_TEST_DATA")) and (found := Path(folder) / CIFAR).exists():
        print(f"  of {found}", flush=True)
        return pq.read_table(found, columns=["image", "label"])
    print(f"  of {MADE_UP:,} made-up images; ESPALIER_TEST_DATA names no folder with {CIFAR}", flush=True)
    stream = np.random.default_rng(0)
    coarse = stream.integers(0, 256, (MADE_UP, 8, 8, 3), dtype=np.uint8)
    labels = [f"class{number % 10}" for number in range(MADE_UP)]
    return pa.table({"image": [_jpeg(pixels) for pixels in coarse], "label": labels})


def _jpeg(coarse: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()
