"""`data_parallel_scaling`: training speed of two workers against one, each worker pinned to a core of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from jobs.artifacts import Epoch, Model
from tests.benchmarks.data_parallel import DATA, ROWS, TRAINING, WORKERS, steady
from tests.benchmarks.finished import artifact
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.pinning import pinned
from tests.benchmarks.processes import ended, python, start

TWO = f"strategy: {{kind: data_parallel, workers: {WORKERS}}}"
ONE = "strategy: {kind: single}"
APART = 0.1  # of the first loss: batches are normalised over 128 rows by one worker, over 64 by each of two


class DataParallelScaling(Benchmark):
    """Rows a second of ResNet-20 in the epochs after the first two; one thread and one core a worker."""

    id = "data_parallel_scaling"
    name = "training on two pinned workers with data_parallel, against one pinned worker at the same global batch"
    unit = "rows/s"
    better = "higher"
    target = 1.7
    step: ClassVar[str] = "model"  # that is measured
    phase: ClassVar[str] = "train"  # of its history
    before: ClassVar[str] = ""  # steps that are made once
    measured: ClassVar[str] = TRAINING

    def prepare(self, work: Path) -> None:
        """Make the data set."""
        from tests.benchmarks.pictures import write_table

        folder = work / self.id
        folder.mkdir()
        write_table(folder / "pictures.parquet", ROWS)
        self.definition, self.store = folder / "speed.yaml", folder / "store"
        self.data = DATA.format(table=folder / "pictures.parquet") + self.before
        self.definition.write_text(self.data)
        python("-m", "pipelines", "run", str(self.definition), "--store", str(self.store))
        self.trained: dict[str, list[list[Epoch]]] = {TWO: [], ONE: []}

    def _rate(self, strategy: str) -> float:
        assert TWO in self.measured
        self.definition.write_text(self.data + self.measured.replace(TWO, strategy))
        options = ("--store", str(self.store), "--fresh", self.step)
        started = time.perf_counter()
        process = start("-m", "pipelines", "run", str(self.definition), *options)
        with pinned(process.pid):
            ended(process, started)
        model = artifact(self.store, "speed", self.step, Model)
        history = [epoch for epoch in model.history if epoch.phase == self.phase]
        self.trained[strategy].append(history)
        return steady([epoch.rows_per_second for epoch in history])

    def ours(self) -> float:
        """Train on two workers through the command line, and return the steady speed."""
        return self._rate(TWO)

    def reference(self) -> float:
        """Train on one worker in the same way, and return the steady speed."""
        return self._rate(ONE)

    def faults(self) -> Iterator[str]:
        """Yield where two trainings of one number of workers differ, or the losses of one and of two lie apart."""
        for strategy, histories in self.trained.items():
            losses = {f"{history[-1].loss:.4g}" for history in histories}
            if len(losses) > 1:
                yield f"{strategy}: the last losses are {', '.join(sorted(losses))}"
        (two, *_), (one, *_) = self.trained.values()
        if abs(two[-1].loss - one[-1].loss) > APART * one[0].loss:
            yield f"the last loss is {two[-1].loss:.4g} on two workers and {one[-1].loss:.4g} on one"
