"""`data_parallel`: training speed of two workers against a hand-written MultiWorkerMirroredStrategy script."""

from __future__ import annotations

import json
import os
import socket
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.environment import variables
from jobs.artifacts import Dataset, Model
from jobs.models.model import read_weights
from tests.benchmarks.finished import artifact
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import ended, python, start

SCRIPT = "tests.benchmarks.references.multi_worker"
WORKERS, EPOCHS, WARM_UP = 2, 8, 2
BATCH, RATE, SEED = 128, 1e-3, 0
TOLERANCE = 1e-3  # both sides see the same rows in the same order; on one machine they end equal to the last bit
ROWS = {"train": 2_560, "validation": 256}
MODEL = {"backbone": {"kind": "resnet", "depth": 20}}
RAYS_NICENESS = 15  # what Ray gives its workers: where others compute too, the scheduler must not favour the script
DATA = """\
name: speed
steps:
  data:
    job: dataset
    source: {{kind: table, path: {table}, image: image, label: label, split: split}}
    split: {{test: 0}}
"""
TRAINING = f"""\
  model:
    job: train
    data: data
    model: {json.dumps(MODEL)}
    epochs: {EPOCHS}
    batch_size: {BATCH}
    learning_rate: {RATE}
    schedule: constant
    warmup: 0
    seed: {SEED}
    strategy: {{kind: data_parallel, workers: {WORKERS}}}
"""


@dataclass(frozen=True)
class Trained:
    """Where a training ended: the mean loss of its last epoch, and its weights by name."""

    loss: float
    weights: Mapping[str, Any]


class DataParallel(Benchmark):
    """Rows a second of ResNet-20 in the epochs after the first two; one thread a worker on both sides."""

    id = "data_parallel"
    name = "training on two workers with data_parallel, against a hand-written MultiWorkerMirroredStrategy script"
    unit = "rows/s"
    better = "higher"
    target = 0.98
    whole_interval = True

    def prepare(self, work: Path) -> None:
        """Make the data set, and hand the very same rows to the reference as arrays."""
        from tests.benchmarks.pictures import write_table

        folder = work / "speed"
        folder.mkdir()
        write_table(folder / "pictures.parquet", ROWS)
        self.definition, self.store, self.arrays = folder / "speed.yaml", folder / "store", folder / "rows.npz"
        self.definition.write_text(DATA.format(table=folder / "pictures.parquet"))
        self._run()
        write_arrays(artifact(self.store, "speed", "data", Dataset), self.arrays)
        self.definition.write_text(self.definition.read_text() + TRAINING)
        self.trained: list[Trained] = []

    def _run(self, *options: str) -> None:
        python("-m", "pipelines", "run", str(self.definition), "--store", str(self.store), *options)

    def ours(self) -> float:
        """Train through the command line, on a cluster that ends with it, and return the steady speed."""
        self._run("--fresh", "model")
        model = artifact(self.store, "speed", "model", Model)
        weights = read_weights(model.folder.read_bytes("weights.npz"), "ours")
        self.trained.append(Trained(model.history[-1].loss, weights))
        return steady([epoch.rows_per_second for epoch in model.history])

    def reference(self) -> float:
        """Train by the script, and return the steady speed."""
        out = self.arrays.with_name("reference.npz")
        told = run_workers(self.arrays, out)
        self.trained.append(Trained(told["loss"], read_weights(out.read_bytes(), "the reference")))
        return steady(told["rates"])

    def faults(self) -> Iterator[str]:
        """Yield where any two trainings, of either side, end apart."""
        first, *others = self.trained
        for other in others:
            yield from differences(first, other)


def write_arrays(dataset: Dataset, path: Path) -> None:
    """Write the training rows of `dataset` as `x` and `y`."""
    import numpy as np

    from jobs.data.shards import read

    x, y = read(dataset.folder.path / "train.arrow").gather(np.arange(dataset.rows["train"]))
    np.savez(path, x=x, y=y)


def run_workers(arrays: Path, out: Path) -> dict[str, Any]:
    """Run the script once a worker, and return what worker 0 told; Broken when one fails."""
    settings: dict[str, Any] = {"data": str(arrays), "out": str(out), "model": MODEL}
    settings |= {"epochs": EPOCHS, "batch": BATCH, "rate": RATE, "seed": SEED}
    reached: dict[str, Any] = json.loads(launched(SCRIPT, settings, variables()))
    return reached


def launched(script: str, settings: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """Run `script` once a worker with the environment `variables`; return what worker 0 wrote; Broken on failure."""
    with ExitStack() as probes:
        ports = [free_port(probes) for _ in range(WORKERS)]
    started, running = time.perf_counter(), []
    for rank in range(WORKERS):
        cluster = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}}
        config = json.dumps({**cluster, "task": {"type": "worker", "index": rank}})
        environment = {**variables, "TF_CONFIG": config, "OMP_NUM_THREADS": "1"}
        running.append(start("-m", script, json.dumps(settings), environment=environment))
        os.setpriority(os.PRIO_PROCESS, running[-1].pid, RAYS_NICENESS)
    try:
        first, *_ = [ended(process, started) for process in running]
    finally:
        for process in running:
            process.kill()  # one left waiting for a worker that failed
    return first.output


def free_port(probes: ExitStack) -> int:
    """Return a port of loopback that is free, and held until `probes` closes."""
    probe = probes.enter_context(socket.socket())
    probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])


def steady(rates: Sequence[float]) -> float:
    """Return the rows a second over the epochs after the warm-up, all of which have as many rows."""
    return statistics.harmonic_mean(rates[WARM_UP:])


def differences(first: Trained, other: Trained) -> Iterator[str]:
    """Yield where two trainings of one model on the same batches end apart by more than the order of float32 sums."""
    import numpy as np

    if abs(first.loss - other.loss) > TOLERANCE * max(first.loss, other.loss):
        yield f"the last losses are {first.loss:.6g} and {other.loss:.6g}"
    if first.weights.keys() != other.weights.keys():
        yield "the weights have other names"
        return
    for name, values in first.weights.items():
        apart = float(np.abs(values - other.weights[name]).max())
        if apart > TOLERANCE * max(1.0, float(np.abs(values).max())):
            yield f"{name} is {apart:.3g} apart"
