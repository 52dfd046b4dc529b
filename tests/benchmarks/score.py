"""`score`: rows a second of a scoring worker, against the bare interpreter over rows that are in memory already."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.environment import variables
from jobs.artifacts import Model, Scores
from tests.benchmarks.data_parallel import RAYS_NICENESS
from tests.benchmarks.finished import artifact
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import ended, python, start

SCRIPT = "tests.benchmarks.references.interpreter"
BATCH = 32
ROWS = {"train": 8_192}
DEFINITION = """\
name: scoring
steps:
  data:
    job: dataset
    source: {{kind: table, path: {table}, image: image, label: label, split: split}}
    split: {{test: 0}}
  model: {{job: train, data: data, model: {{backbone: {{kind: resnet, depth: 20}}}}, epochs: 1, batch_size: 128}}
  scored:
    job: score
    model: model
    source: {{kind: table, path: {table}, image: image}}
    batch_size: {batch}
"""


class ScoreSpeed(Benchmark):
    """ResNet-20 over 8,192 PNG images of a Parquet table, one worker of one CPU, once it has begun.

    Ours reads, decodes, runs and writes; the reference only runs. Ray's own processes, which gather the answers and
    write them, have the other core.
    """

    id = "score"
    name = "scoring with one worker, reading and decoding included, against the bare interpreter over decoded rows"
    unit = "rows/s"
    better = "higher"
    target = 0.8

    def prepare(self, work: Path) -> None:
        """Make the table and the model, and hand the same rows, decoded, to the reference."""
        from tests.benchmarks.pictures import write_table

        folder = work / "scoring"
        folder.mkdir()
        self.table, self.rows = folder / "pictures.parquet", folder / "rows.npy"
        write_table(self.table, ROWS)
        self.definition, self.store, self.found = folder / "scoring.yaml", folder / "store", folder / "found.npy"
        self.definition.write_text(DEFINITION.format(table=self.table, batch=BATCH))
        self._run()
        self.model = artifact(self.store, "scoring", "model", Model)
        write_decoded(self.table, self.model, self.rows)
        self.answers: dict[str, list[str]] = {}

    def _run(self, *options: str) -> None:
        python("-m", "pipelines", "run", str(self.definition), "--store", str(self.store), *options)

    def ours(self) -> float:
        """Score through the command line, on a cluster that ends with it."""
        from pyarrow import parquet

        self._run("--fresh", "scored")
        scores = artifact(self.store, "scoring", "scored", Scores)
        parts = [parquet.read_table(file) for file in sorted(scores.folder.path.glob("*.parquet"))]
        self.answers["ours"] = [label for part in parts for label in part["label"].to_pylist()]
        return scores.rows_per_second

    def reference(self) -> float:
        """Run the script in a process of its own, with the scheduling priority that Ray gives its workers."""
        import numpy as np

        file = self.model.folder.path / self.model.served
        settings: dict[str, Any] = {"rows": str(self.rows), "file": str(file), "batch": BATCH, "out": str(self.found)}
        started = time.perf_counter()
        process = start("-m", SCRIPT, json.dumps(settings), environment=variables())
        os.setpriority(os.PRIO_PROCESS, process.pid, RAYS_NICENESS)
        told = json.loads(ended(process, started).output)
        self.answers["the reference"] = [self.model.classes[index] for index in np.load(self.found)]
        speed: float = told["rows_per_second"]
        return speed

    def faults(self) -> Iterator[str]:
        """Yield whether any row has another label on one side."""
        ours, reference = self.answers["ours"], self.answers["the reference"]
        other = sum(one != two for one, two in zip(ours, reference, strict=True))
        if other:
            yield f"{other} of {len(ours)} rows have another label"


def write_decoded(table: Path, model: Model, path: Path) -> None:
    """Write the images of `table` as the model reads them."""
    import numpy as np
    from pyarrow import parquet

    from jobs.data.preparing import preparer

    prepare = preparer(model.preprocess, model.folder.path)
    np.save(path, prepare(parquet.read_table(table, columns=["image"])["image"].to_pylist()))
