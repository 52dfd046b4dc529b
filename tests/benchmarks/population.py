"""`population`: what population based training finds, against random search of as many epochs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.folder import Folder
from cluster.session import connected
from jobs.artifacts import Dataset
from tests.benchmarks.feed_jpeg import images
from tests.benchmarks.harness import Benchmark

ROWS = {"train": 4_000, "validation": 1_000}
MODEL = {"backbone": {"kind": "resnet", "depth": 8, "width": 8}, "dropout": 0.1}
TRIALS, EPOCHS = 8, 12
SPACE = {
    "learning_rate": {"kind": "log_uniform", "low": 1e-4, "high": 3e-2},
    "model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.5},
    "model.l2": {"kind": "log_uniform", "low": 1e-7, "high": 1e-2},
}


class Population(Benchmark):
    """The best validation accuracy of eight trials of twelve epochs; each pair has a seed of its own.

    The images are CIFAR-10's where ESPALIER_TEST_DATA names their folder; made-up ones, which are noise, tell nothing.
    """

    id = "population"
    name = "the best validation accuracy of population based training, against random search of as many epochs"
    unit = "accuracy"
    better = "higher"
    target = 1.0
    of_means = True

    def prepare(self, work: Path) -> None:
        """Make the data, and start a cluster that lasts until the figures are there."""
        from jobs.data.prepare import prepare
        from jobs.kinds.dataset import DatasetJob

        self.root = Path(tempfile.mkdtemp(dir=work))
        table = images()[: sum(ROWS.values())]
        splits = [split for split, count in ROWS.items() for _ in range(count)]
        pq.write_table(table.append_column("split", pa.array(splits)), self.root / "images.parquet")
        source = {"kind": "table", "path": str(self.root / "images.parquet"), "image": "image", "label": "label"}
        job = DatasetJob.model_validate({"job": "dataset", "source": source | {"split": "split"}, "split": {"test": 0}})
        folder = Folder.parse(str(self.root / "data"))
        with folder.filling() as path:
            prepare(job, path, lambda event: None).save(folder)
        self.data = Dataset.load(folder)
        self.found: dict[str, int] = {}
        self.wrong: list[str] = []
        self._cluster = ExitStack()
        self._cluster.enter_context(connected("local", cpus=2))

    def ours(self) -> float:
        """Exchange weights and values every three epochs."""
        return self._best("ours", scheduler={"kind": "pbt", "every": 3})

    def reference(self) -> float:
        """Draw, and train each to its end."""
        return self._best("reference", scheduler={"kind": "none"})

    def _best(self, side: str, **fields: Any) -> float:
        from jobs.job import Output
        from jobs.kinds.sweep import Sweep

        seed = self.found[side] = self.found.get(side, 0) + 1
        train = {"data": "data", "model": MODEL, "epochs": EPOCHS, "batch_size": 64, "schedule": "constant"}
        searched = {"space": SPACE, "trials": TRIALS, "searcher": {"kind": "random", "seed": seed}}
        root = Folder(tempfile.mkdtemp(dir=self.root))
        out = Output("tuned", root.child("out"), root.child("kept"), lambda event: None)
        sweep = Sweep.model_validate({"train": train | {"learning_rate": 3e-4, "seed": seed}, **searched, **fields})
        made = sweep.run({"data": self.data}, out)
        if made.finished != TRIALS:
            self.wrong.append(f"{made.finished} trials of {side} finished, seed {seed}")
        return made.measured["accuracy"]

    def faults(self) -> Iterator[str]:
        """Yield sweeps that lost trials; end the cluster."""
        self._cluster.close()
        yield from self.wrong
