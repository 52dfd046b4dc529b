"""`parameter_server`, `parameter_server_ten`: two workers and a server, against hand-written coordinator scripts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from cluster.environment import variables
from jobs.artifacts import Dataset, Model, Report
from tests.benchmarks.data_parallel import RAYS_NICENESS, free_port, steady
from tests.benchmarks.finished import artifact
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import ended, python, start

SCRIPT = "tests.benchmarks.references.coordinator"
WORKERS, SERVERS, TEN = 2, 1, 10
EPOCHS, BATCH, RATE, SEED = 8, 128, 0.01, 0
CLASSES, WORDS, LENGTH = 10, 400, 32
ROWS = {"train": 25_600, "validation": 256, "test": 2_000}
APART = 0.01  # of test accuracy: asynchronous updates end a little apart, whoever makes them
MODEL = {"backbone": {"kind": "embedding_bag", "vocabulary": 1_000, "length": LENGTH, "width": 32}}
DATA = """\
name: served
steps:
  data:
    job: dataset
    source: {{kind: table, path: {table}, text: text, label: label, split: split}}
    split: {{test: 0}}
"""
HELD = {"cpus_per_worker": 0.5, "cpus_per_server": 0.5, "cpus_of_coordinator": 0.5}
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
    strategy: {json.dumps({"kind": "parameter_server", "workers": WORKERS, "servers": SERVERS, **HELD})}
  verdict: {{job: evaluate, models: [model], data: data}}
"""


class ParameterServer(Benchmark):
    """Rows a second in the epochs after the first two; the script schedules one train step a closure."""

    id = "parameter_server"
    name = "training with parameter servers, against a hand-written script that schedules one step a closure"
    unit = "rows/s"
    better = "higher"
    target = 1.7
    steps_per_closure: ClassVar[int] = 1

    def prepare(self, work: Path) -> None:
        """Make the data set; its prepared rows go to the script as arrays once they have been trained on."""
        folder = work / self.id
        folder.mkdir()
        write_table(folder / "texts.parquet")
        self.definition, self.store, self.arrays = folder / "served.yaml", folder / "store", folder / "rows.npz"
        self.definition.write_text(DATA.format(table=folder / "texts.parquet") + TRAINING)
        self._run()
        self.preprocess = write_arrays(self.store, self.arrays)
        self.accuracies: list[float] = []

    def _run(self, *options: str) -> None:
        python("-m", "pipelines", "run", str(self.definition), "--store", str(self.store), *options)

    def ours(self) -> float:
        """Train and judge through the command line, on a cluster that ends with it; return the steady speed."""
        self._run("--fresh", "model")
        model = artifact(self.store, "served", "model", Model)
        report = artifact(self.store, "served", "verdict", Report)
        self.accuracies.append(report.evaluations["model"]["accuracy"])
        return steady([epoch.rows_per_second for epoch in model.history])

    def reference(self) -> float:
        """Train by the script, and return the steady speed."""
        told = run_script(self.arrays, self.preprocess, self.steps_per_closure)
        self.accuracies.append(told["accuracy"])
        return steady(told["rates"])

    def faults(self) -> Iterator[str]:
        """Yield where trainings, of either side, end in other accuracies."""
        if max(self.accuracies) - min(self.accuracies) > APART:
            yield f"test accuracies are {', '.join(f'{found:.4f}' for found in self.accuracies)}"


class ParameterServerTen(ParameterServer):
    """The same, against a script that schedules ten train steps a closure."""

    id = "parameter_server_ten"
    name = "training with parameter servers, against a hand-written script that schedules ten steps a closure"
    target = 0.98
    steps_per_closure = TEN


def write_table(path: Path) -> None:
    """Write texts of made-up words, half of whose words tell of the class."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = np.random.default_rng(SEED)
    count = sum(ROWS.values())
    labels = draw.integers(0, CLASSES, count)
    own = labels[:, None] * (WORDS // CLASSES) + draw.integers(0, WORDS // CLASSES, (count, 8))
    words = np.concatenate([own, draw.integers(0, WORDS, (count, 8))], 1)
    names = np.array([f"w{number:03d}" for number in range(WORDS)])
    texts = [" ".join(row) for row in names[words]]
    splits = [name for name, rows in ROWS.items() for _ in range(rows)]
    pq.write_table(pa.table({"text": texts, "label": [str(label) for label in labels], "split": splits}), path)


def write_arrays(store: Path, path: Path) -> dict[str, Any]:
    """Write the rows as ours were trained and judged on; return their preprocessing."""
    import numpy as np

    from jobs.data.encode import encoded

    dataset, model = artifact(store, "served", "data", Dataset), artifact(store, "served", "model", Model)
    arrays = {}
    for split, prefix in (("train", ""), ("test", "test_")):
        rows = encoded(dataset, model.preprocess, split, model.folder.path)
        arrays[f"{prefix}x"], arrays[f"{prefix}y"] = rows.gather(np.arange(len(rows)))
    np.savez(path, **arrays)
    preprocess: dict[str, Any] = model.preprocess.model_dump(mode="json")
    return preprocess


def run_script(arrays: Path, preprocess: dict[str, Any], steps_per_closure: int) -> dict[str, Any]:
    """Run the script once a task, and return what the coordinator told; Broken when it fails."""
    counts = {"ps": SERVERS, "worker": WORKERS, "chief": 1}
    with ExitStack() as probes:
        cluster = {job: [f"127.0.0.1:{free_port(probes)}" for _ in range(count)] for job, count in counts.items()}
    settings: dict[str, Any] = {"data": str(arrays), "preprocess": preprocess, "model": MODEL, "classes": CLASSES}
    settings |= {"epochs": EPOCHS, "batch": BATCH, "rate": RATE, "seed": SEED}
    settings |= {"cluster": cluster, "steps_per_closure": steps_per_closure}
    environment = {**variables(), "GRPC_FAIL_FAST": "use_caller", "OMP_NUM_THREADS": "1"}
    tasks = [{"job": job, "index": index} for job, count in counts.items() for index in range(count)]
    started, running = time.perf_counter(), []
    try:
        running += [start("-m", SCRIPT, json.dumps(settings | task), environment=environment) for task in tasks]
        for process in running:
            os.setpriority(os.PRIO_PROCESS, process.pid, RAYS_NICENESS)
        told = ended(running[-1], started)
    finally:
        for process in running:
            process.kill()
            process.wait()
    reached: dict[str, Any] = json.loads(told.output.splitlines()[-1])
    return reached
